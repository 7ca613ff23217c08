"""Training-free selection: candidates ranked by proxies."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence

from balenas_core.errors import SelectionError, told
from balenas_core.interfaces.proxy import Proxy
from balenas_core.interfaces.selection import SelectionContext
from balenas_core.plugins.selector_options import PoolOptions
from balenas_core.random import seeded
from balenas_core.scores import Aggregate, combined
from balenas_core.scores.scoring import ProxyScores, score_network
from balenas_core.selectors._draws import Draw
from balenas_core.selectors._pool import PoolSelector, Ranking, best_first, check_scores

_log = logging.getLogger(__name__)


class RankingSelector(PoolSelector):
    """Draws candidates and ranks them by proxies.

    Every candidate's network starts from the same seed. A proxy that raises on a candidate is
    reported, and the candidate scores ``-inf`` under it.

    Args:
        proxies: Proxy by name.
        pool: How the pool is drawn, and the limits of a choice.
        aggregate: How several proxies become one order; see ``combined``.
        weights: Weight by proxy, for ``aggregate="weighted"``.
        origins: Distribution and version by proxy, for messages.

    References:
        Zhang et al. 2022, "BaLeNAS", CVPR, abstract (BaLeNAS-TF).
    """

    def __init__(
        self,
        proxies: Mapping[str, Proxy],
        pool: PoolOptions | None = None,
        *,
        aggregate: Aggregate = "log_rank",
        weights: Mapping[str, float] | None = None,
        origins: Mapping[str, str] | None = None,
    ) -> None:
        self._proxies = dict(proxies)
        self._pool = pool or PoolOptions()
        self._aggregate: Aggregate = aggregate
        self._weights = weights
        self._origins = origins or {}

    @property
    def pool_options(self) -> PoolOptions:
        """How the pool is drawn."""
        return self._pool

    def rank(self, pool: Sequence[Draw], context: SelectionContext) -> Ranking:
        """Score every candidate and combine the ranks.

        Raises:
            SelectionError: Every proxy failed on every candidate.
        """
        failures = _Failures(len(pool), self._origins)
        table: list[Mapping[str, float]] = []
        for done, draw in enumerate(pool):
            context.report(done, len(pool))
            table.append(self._remembered_scores(draw, context, failures))
        context.report(len(pool), len(pool))
        failures.report()
        columns = {name: [row[name] for row in table] for name in self._proxies}
        check_scores(table)
        for name, column in columns.items():
            if not failures.has(name) and not any(map(math.isfinite, column)):
                _log.warning(
                    "proxy %r gives none of the %d candidates a finite score; the other proxies "
                    "alone rank them",
                    name,
                    len(pool),
                )
        values = combined(columns, self._aggregate, self._weights)
        return Ranking(best_first(pool, values), table)

    def _remembered_scores(
        self, draw: Draw, context: SelectionContext, failures: _Failures
    ) -> Mapping[str, float]:
        def compute() -> Mapping[str, float]:
            found = self._scores(draw, context)
            failures.add(draw, found)
            if len(found.errors) == len(self._proxies):
                # Not remembered: a search that goes on must fail, or succeed, by its own reasons.
                raise _NoScore
            return found.scores

        try:
            return context.remember(f"{'+'.join(self._proxies)}/{draw.architecture}", compute)
        except _NoScore:
            return dict.fromkeys(self._proxies, -math.inf)

    def _scores(self, draw: Draw, context: SelectionContext) -> ProxyScores:
        with seeded(context.seed):
            network = context.space.network(draw.architecture, context.task)
        network = network.to(device=context.device, dtype=context.batch.images.dtype)
        return score_network(network, context.batch, self._proxies, seed=context.seed)


class _NoScore(Exception):
    """Every proxy failed on a candidate."""


class _Failures:
    """Counts the candidates on which proxies failed, and keeps the first cause of each."""

    def __init__(self, candidates: int, origins: Mapping[str, str]) -> None:
        self._candidates = candidates
        self._origins = origins
        self._counts: dict[str, int] = {}
        self._first: dict[str, Exception] = {}
        self._without_score = 0

    def has(self, name: str) -> bool:
        """Whether a proxy failed, which was said."""
        return name in self._counts

    def add(self, draw: Draw, found: ProxyScores) -> None:
        for name, error in found.errors.items():
            self._counts[name] = self._counts.get(name, 0) + 1
            if name not in self._first:
                self._first[name] = error
                who = self._who(name)
                _log.warning("%s failed on %s: %s", who, draw.architecture, told(error))
                _log.debug("where it failed", exc_info=error)
        self._without_score += len(found.errors) == len(found.scores)

    def report(self) -> None:
        """Say how often each proxy failed.

        Raises:
            SelectionError: No candidate has a score of any proxy.
        """
        if self._without_score == self._candidates:
            causes = "; ".join(
                f"{self._who(name)} failed with {told(error)}"
                for name, error in self._first.items()
            )
            raise SelectionError(
                f"nothing to rank the {self._candidates} candidates by: {causes}. Choose another "
                f"proxy with --selector, or 'argmax' for the search's own choice."
            ) from next(iter(self._first.values()))
        for name, count in self._counts.items():
            if count > 1:
                _log.warning(
                    "%s failed on %d of %d candidates, which rank last under it",
                    self._who(name),
                    count,
                    self._candidates,
                )

    def _who(self, name: str) -> str:
        origin = self._origins.get(name)
        return f"proxy {name!r} (from {origin})" if origin else f"proxy {name!r}"
