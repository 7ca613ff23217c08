"""Tables of real accuracies, to look chosen architectures up in."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

from balenas_core.benchmarks import best_value, percentiles, ranks
from balenas_core.errors import DataError
from balenas_core.interfaces.architecture import Architecture

A = TypeVar("A", bound=Architecture)


@dataclass(frozen=True, slots=True)
class BenchmarkEntry:
    """What a benchmark knows of one architecture on one dataset.

    ``value`` and ``best`` are in the metric's unit (accuracies in percent); ``rank`` is 1 for
    the best of ``total``; of a metric with ``is_cost`` the smallest is the best.
    """

    dataset: str
    metric: str
    value: float
    best: float
    rank: int
    total: int
    is_cost: bool = False

    @property
    def regret(self) -> float:
        """How much better the best architecture is."""
        return self.value - self.best if self.is_cost else self.best - self.value

    @property
    def percentile(self) -> float:
        """Percentage of the architectures that are not better; 100 for the best."""
        return 100.0 * (self.total - self.rank + 1) / self.total


class Benchmark(ABC, Generic[A]):
    """Real results of every architecture of a space.

    Larger values of ``metrics`` are better, smaller values of ``cost_names`` are. What was not
    measured is NaN.
    """

    name: str
    datasets: tuple[str, ...]
    metrics: tuple[str, ...]
    cost_names: tuple[str, ...] = ()

    @abstractmethod
    def values(self, dataset: str, metric: str, seed: int | None = None) -> NDArray[np.float64]:
        """Return a metric or cost of every architecture, by index; the mean over seeds for None."""

    @abstractmethod
    def index(self, architecture: A) -> int:
        """Return the position of an architecture in ``values``."""

    def text(self, index: int) -> str | None:
        """Return the text form of the architecture at a position; None where it is not kept."""
        return None

    def measured(self, dataset: str) -> tuple[str, ...]:
        """Return the metrics and costs that are known on a dataset."""
        return self.metrics + self.cost_names

    def unit(self, metric: str) -> str:
        """Return the unit of a metric or cost, empty where there is none."""
        return "" if metric in self.cost_names else "%"

    def seeds(self, dataset: str, metric: str) -> tuple[int, ...]:
        """Return the seeds that ``values`` takes for a metric; empty if only means are known."""
        return ()

    def indices(self, architectures: Iterable[A]) -> NDArray[np.int64]:
        """Return the positions of many architectures in ``values``."""
        return np.fromiter(map(self.index, architectures), np.int64)

    def ranks(self, dataset: str, metric: str, seed: int | None = None) -> NDArray[np.int64]:
        """Return the rank of every architecture, 1 for the best, equals alike; 0 for NaN."""
        return ranks(self.values(dataset, metric, seed), is_cost=metric in self.cost_names)

    def percentiles(
        self, dataset: str, metric: str, seed: int | None = None
    ) -> NDArray[np.float64]:
        """Return the percentage of architectures that are not better than each; NaN for NaN."""
        return percentiles(self.values(dataset, metric, seed), is_cost=metric in self.cost_names)

    def regrets(self, dataset: str, metric: str, seed: int | None = None) -> NDArray[np.float64]:
        """Return by how much the best architecture is better than each; never negative."""
        values = self.values(dataset, metric, seed)
        return np.abs(values - best_value(values, is_cost=metric in self.cost_names))

    def best(
        self, dataset: str, metric: str, count: int = 1, seed: int | None = None
    ) -> NDArray[np.int64]:
        """Return the positions of the best architectures, best first; of equals the first."""
        values = self.values(dataset, metric, seed)
        # Stable, and NaN sorts last either way.
        order = np.argsort(values if metric in self.cost_names else -values, kind="stable")
        return order[: min(count, int(np.sum(~np.isnan(values))))].astype(np.int64)

    def query(
        self, architecture: A, dataset: str, metric: str | None = None, seed: int | None = None
    ) -> BenchmarkEntry:
        """Look one architecture up; the first metric of the benchmark unless named.

        Raises:
            DataError: The metric of this architecture was not measured.
        """
        metric = metric or self.metrics[0]
        is_cost = metric in self.cost_names
        values = self.values(dataset, metric, seed)
        value = float(values[self.index(architecture)])
        if np.isnan(value):
            which = "" if seed is None else f" with seed {seed}"
            raise DataError(
                f"the benchmark has no {metric} of {architecture} on {dataset}{which}; "
                f"ask for another metric{' or the mean over seeds' if which else ''}."
            )
        better = values < value if is_cost else values > value
        return BenchmarkEntry(
            dataset,
            metric,
            value,
            best_value(values, is_cost=is_cost),
            1 + int(np.sum(better)),
            int(np.sum(~np.isnan(values))),
            is_cost,
        )

    def entries(self, architecture: A) -> tuple[BenchmarkEntry, ...]:
        """Look one architecture up on every dataset, by the first metric.

        A dataset on which it was not measured is left out.

        Raises:
            DataError: The benchmark is damaged.
        """
        metric, found = self.metrics[0], []
        for dataset in self.datasets:
            if metric not in self.measured(dataset):
                continue
            self.values(dataset, metric)  # damage is an error, a gap is not
            with contextlib.suppress(DataError):
                found.append(self.query(architecture, dataset, metric))
        return tuple(found)
