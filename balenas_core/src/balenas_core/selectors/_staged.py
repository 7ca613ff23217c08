"""Selection in stages: cheap rankings first, costly ones for the few that are left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import NormalDist

from balenas_core.interfaces.selection import SelectionContext, Stage
from balenas_core.plugins.selector_options import PoolOptions
from balenas_core.selectors._draws import Draw
from balenas_core.selectors._pool import PoolSelector, Ranking, check_ranking


class StagedSelector(PoolSelector):
    """Ranks the pool by the first stage, its best by the second, and so on.

    Who comes further ranks better; among those who left at the same stage, its order counts.
    Proxies order a space well and its top badly; how much later stages choose better depends on
    what they may cost.

    Args:
        stages: Selector by its part of the expression.
        survivors: How many go on from each stage but the last.
        pool: How the pool is drawn, and the limits of a choice.
    """

    def __init__(
        self,
        stages: Mapping[str, PoolSelector],
        survivors: Sequence[int],
        pool: PoolOptions | None = None,
    ) -> None:
        if len(survivors) != len(stages) - 1:
            raise ValueError(
                f"survivors must be one number for each stage but the last, {len(stages) - 1}; "
                f"got {len(survivors)}"
            )
        self._stages = dict(stages)
        self._survivors = (*survivors, 1)
        self._pool = pool or PoolOptions()

    @property
    def pool_options(self) -> PoolOptions:
        """How the pool is drawn."""
        return self._pool

    def rank(self, pool: Sequence[Draw], context: SelectionContext) -> Ranking:
        """Run the stages one after the other."""
        order = list(range(len(pool)))
        scores: list[dict[str, float]] = [{} for _ in pool]
        records: list[Stage] = []
        sizes = _sizes(len(pool), self._survivors)
        evidence: list[list[float]] = [[] for _ in pool]
        failures: dict[int, str] = {}
        epochs = 0
        for number, ((name, stage), left) in enumerate(
            zip(self._stages.items(), self._survivors, strict=True)
        ):
            stay, out = order[: sizes[number]], order[sizes[number] :]
            begun = context.seconds()
            report = _report(context, sizes, number)
            members = [replace(pool[i], evidence=tuple(evidence[i])) for i in stay]
            ranking = stage.rank(members, replace(context, report=report))
            check_ranking(ranking, len(stay))
            for i, found in zip(stay, ranking.scores, strict=True):
                scores[i] |= found
            failures |= {stay[k]: why for k, why in ranking.failures.items()}
            ranked = [stay[k] for k in ranking.order]
            order = ranked + out
            for i, score in zip(ranked, normal_scores(len(ranked)), strict=True):
                evidence[i].append(score)
            survivors = tuple(pool[i].architecture for i in ranked[:left])
            seconds = context.seconds() - begun
            records.append(Stage(name, len(stay), survivors, ranking.epochs, seconds))
            epochs += ranking.epochs
        return Ranking(order, scores, epochs, tuple(records), failures)


def normal_scores(count: int) -> list[float]:
    """Return the standard normal quantiles of places 1 to ``count``, the first the largest.

    The quantile at place k is that of 1 - (k - 1/2) / count.

    Example:
        >>> [round(score, 2) for score in normal_scores(3)]
        [0.97, 0.0, -0.97]
    """
    quantile = NormalDist().inv_cdf
    return [quantile(1 - (place + 0.5) / count) for place in range(count)]


def _sizes(pool: int, survivors: Sequence[int]) -> list[int]:
    """Return how many candidates each stage ranks."""
    sizes = [pool]
    for left in survivors[:-1]:
        sizes.append(min(sizes[-1], left))
    return sizes


def _report(
    context: SelectionContext, sizes: Sequence[int], number: int
) -> Callable[[int, int], None]:
    """Return the report of one stage, which tells progress over all of them."""
    before, here, total = sum(sizes[:number]), sizes[number], sum(sizes)

    def report(done: int, of: int) -> None:
        context.report(before + done * here // max(of, 1), total)

    return report
