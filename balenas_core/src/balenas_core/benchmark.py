"""Tables of real accuracies, to look chosen architectures up in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

from balenas_core.architecture import Architecture

A = TypeVar("A", bound=Architecture)


@dataclass(frozen=True, slots=True)
class BenchmarkEntry:
    """What a benchmark knows of one architecture on one dataset.

    ``value`` and ``best`` are in the metric's unit (accuracies in percent); ``rank`` is 1 for
    the best of ``total``; ``regret`` is ``best - value``.
    """

    dataset: str
    metric: str
    value: float
    best: float
    rank: int
    total: int

    @property
    def regret(self) -> float:
        """How much better the best architecture is."""
        return self.best - self.value


class Benchmark(ABC, Generic[A]):
    """Real results of every architecture of a space; larger values are better."""

    name: str
    datasets: tuple[str, ...]
    metrics: tuple[str, ...]

    @abstractmethod
    def values(self, dataset: str, metric: str, seed: int | None = None) -> NDArray[np.float64]:
        """Return the metric of every architecture, by index; the mean over seeds for None."""

    @abstractmethod
    def index(self, architecture: A) -> int:
        """Return the position of an architecture in ``values``."""

    def query(
        self, architecture: A, dataset: str, metric: str | None = None, seed: int | None = None
    ) -> BenchmarkEntry:
        """Look one architecture up; the first metric of the benchmark unless named."""
        metric = metric or self.metrics[0]
        values = self.values(dataset, metric, seed)
        value = float(values[self.index(architecture)])
        rank = 1 + int(np.sum(values > value))
        return BenchmarkEntry(dataset, metric, value, float(np.max(values)), rank, values.size)
