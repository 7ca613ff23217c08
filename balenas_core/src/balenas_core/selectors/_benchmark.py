"""The oracle of regret studies."""

from __future__ import annotations

import math
from collections.abc import Sequence

from balenas_core.errors import UsageError
from balenas_core.interfaces.benchmark import Benchmark
from balenas_core.interfaces.selection import SelectionContext
from balenas_core.plugins.selector_options import BenchmarkOptions, PoolOptions
from balenas_core.plugins.suggest import did_you_mean
from balenas_core.selectors._draws import Draw
from balenas_core.selectors._pool import PoolSelector, Ranking, best_first


class BenchmarkSelector(PoolSelector):
    """Ranks draws by their real results: what the best possible selector would choose.

    The regret that is left is the distribution's, all above it the selector's.
    """

    def __init__(self, options: BenchmarkOptions) -> None:
        self._options = options

    @property
    def pool_options(self) -> PoolOptions:
        """How the pool is drawn."""
        return self._options

    def rank(self, pool: Sequence[Draw], context: SelectionContext) -> Ranking:
        """Look every candidate up; one without a result ranks last.

        Raises:
            UsageError: The space has no benchmark, or not this dataset or metric.
        """
        benchmark = context.space.benchmark()
        if benchmark is None:
            raise UsageError(
                "selector 'benchmark' needs real results, and the search space has no benchmark "
                "installed; 'balenas bench list' shows how to get one."
            )
        dataset = _one_of("dataset", self._options.dataset, benchmark.datasets)
        metric = _one_of(
            "metric", self._options.metric, (*benchmark.metrics, *benchmark.cost_names)
        )
        values = _values(benchmark, pool, dataset, metric)
        scores = [{f"{dataset} {metric}": value} for value in values]
        signed = [-value for value in values] if metric in benchmark.cost_names else values
        return Ranking(best_first(pool, [_or_last(value) for value in signed]), scores)


def _values(
    benchmark: Benchmark[object],  # type: ignore[type-var]
    pool: Sequence[Draw],
    dataset: str,
    metric: str,
) -> list[float]:
    positions = benchmark.indices(draw.architecture for draw in pool)
    return [float(value) for value in benchmark.values(dataset, metric)[positions]]


def _or_last(value: float) -> float:
    return -math.inf if math.isnan(value) else value


def _one_of(what: str, name: str | None, known: Sequence[str]) -> str:
    if name is None:
        return known[0]
    if name not in known:
        raise UsageError(
            f"selector.{what}: the benchmark has no {what} {name!r}.{did_you_mean(name, known)} "
            f"Known: {', '.join(known)}."
        )
    return name
