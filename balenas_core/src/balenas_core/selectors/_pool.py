"""Selectors that rank a pool of draws, alone or as one stage of several."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from balenas_core.interfaces.selection import (
    Candidate,
    Selection,
    SelectionContext,
    Selector,
    Stage,
)
from balenas_core.plugins.selector_options import PoolOptions
from balenas_core.selectors._costs import within_limits
from balenas_core.selectors._draws import Draw, distinct_draws, neighbors_of


@dataclass(frozen=True, slots=True)
class Ranking:
    """How a pool was ranked.

    Args:
        order: Positions in the pool, best first; every position once.
        scores: Scores of each member of the pool, by name.
        epochs: Epochs of training that it took.
        stages: What each stage did, if there were several.
    """

    order: Sequence[int]
    scores: Sequence[Mapping[str, float]]
    epochs: int = 0
    stages: tuple[Stage, ...] = ()


class PoolSelector(Selector, ABC):
    """A selector that ranks a given pool, so that it can be a stage of a staged selection.

    Its plugin says so by ``provides=("stage",)``, and its options derive from ``PoolOptions``.
    """

    @property
    @abstractmethod
    def pool_options(self) -> PoolOptions:
        """How the pool is drawn, where this is the only stage."""

    @abstractmethod
    def rank(self, pool: Sequence[Draw], context: SelectionContext) -> Ranking:
        """Rank a pool of at least one draw."""

    def select(self, context: SelectionContext) -> Selection:
        """Draw the pool, leave out what exceeds the limits, and rank the rest."""
        options = self.pool_options
        drawn = distinct_draws(context, options.draws)
        drawn += neighbors_of(drawn, options.neighbors, context)
        pool = within_limits(drawn, options, context)
        ranking = self.rank(pool, context)
        return Selection(
            tuple(
                Candidate(
                    pool[i].architecture,
                    rank,
                    ranking.scores[i],
                    pool[i].is_argmax,
                    pool[i].count,
                    pool[i].costs,
                )
                for rank, i in enumerate(ranking.order, start=1)
            ),
            keep=options.keep,
            stages=ranking.stages,
        )


def best_first(pool: Sequence[Draw], values: Sequence[float]) -> list[int]:
    """Return positions by value, largest first; ties go to the argmax, then the most drawn."""
    return sorted(range(len(pool)), key=lambda i: (-values[i], *pool[i].tie_break))
