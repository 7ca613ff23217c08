"""Selectors that rank a pool of draws, alone or as one stage of several."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from balenas_core.errors import SelectionError, UnfitError
from balenas_core.interfaces.selection import (
    Candidate,
    Measured,
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
        failures: Position of those that could not be measured -> why.
    """

    order: Sequence[int]
    scores: Sequence[Mapping[str, float]]
    epochs: int = 0
    stages: tuple[Stage, ...] = ()
    failures: Mapping[int, str] = field(default_factory=dict)


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
        check_ranking(ranking, len(pool))
        return Selection(
            tuple(
                Candidate(
                    pool[i].architecture,
                    rank,
                    ranking.scores[i],
                    pool[i].is_argmax,
                    pool[i].count,
                    pool[i].costs,
                    ranking.failures.get(i),
                )
                for rank, i in enumerate(ranking.order, start=1)
            ),
            keep=options.keep,
            stages=ranking.stages,
        )


def best_first(pool: Sequence[Draw], values: Sequence[float]) -> list[int]:
    """Return positions by value, largest first; ties go to the argmax, then the most drawn."""
    return sorted(range(len(pool)), key=lambda i: (-values[i], *pool[i].tie_break))


def check_ranking(ranking: object, members: int) -> None:
    """Check that a pool was ranked by something.

    Args:
        ranking: What ``rank`` has returned.
        members: Architectures in the pool.

    Raises:
        UnfitError: It is no order of the pool, or lacks scores of some members.
        SelectionError: No score is finite.
    """
    if not isinstance(ranking, Ranking):
        raise UnfitError(
            "selector", f"rank() must return a Ranking; it returned {type(ranking).__name__}"
        )
    if sorted(ranking.order) != list(range(members)):
        raise UnfitError(
            "selector",
            f"rank() must order the {members} members of the pool, each once; it returned "
            f"{str(list(ranking.order))[:80]}",
        )
    if len(ranking.scores) != members:
        raise UnfitError(
            "selector",
            f"rank() must return scores of each of the {members} members of the pool; it returned "
            f"{len(ranking.scores)}",
        )
    check_scores(ranking.scores)


def check_scores(table: Sequence[Mapping[str, float]]) -> None:
    """Check that candidates were scored by something, if they were.

    Raises:
        SelectionError: There are scores, and none is finite.
    """
    names = list(dict.fromkeys(name for row in table for name in row))
    if not names or any(math.isfinite(score) for row in table for score in row.values()):
        return
    found = ", ".join(sorted({str(score) for row in table for score in row.values()}))
    raise SelectionError(
        f"nothing to rank the {len(table)} candidates by: every score of {', '.join(names)} is "
        f"{found}. Choose another selector with --selector, or 'argmax' for the search's own "
        f"choice."
    )


def failures_of(found: Sequence[Measured]) -> dict[int, str]:
    """Return position -> why of what could not be measured.

    Raises:
        SelectionError: Nothing could.
    """
    failures = {i: found[i].failure or "" for i in range(len(found)) if found[i].failure}
    if found and len(failures) == len(found):
        raise SelectionError(
            f"none of {len(found)} candidates could be measured; the first failed with "
            f"{failures[0]}. Where workers were lost, fewer of them at once need less memory "
            f"(executor.workers)."
        )
    return failures
