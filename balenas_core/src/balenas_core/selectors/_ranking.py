"""Training-free selection: candidates ranked by proxies."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence

from balenas_core.errors import SelectionError, told
from balenas_core.interfaces.architecture import Architecture
from balenas_core.interfaces.proxy import Proxy
from balenas_core.interfaces.selection import Measured, SelectionContext
from balenas_core.plugins.selector_options import PoolOptions
from balenas_core.random import seeded
from balenas_core.scores import Aggregate, combined
from balenas_core.scores.scoring import score_network
from balenas_core.selectors._draws import Draw
from balenas_core.selectors._pool import PoolSelector, Ranking, best_first, check_scores

_log = logging.getLogger(__name__)

_DRAWN = "(drawn)"  # no name of a proxy


class RankingSelector(PoolSelector):
    """Draws candidates and ranks them by proxies.

    Every candidate's network starts from the same seed. A proxy that raises on a candidate is
    reported, and the candidate scores ``-inf`` under it.

    Args:
        proxies: Proxy by name.
        pool: How the pool is drawn, and the limits of a choice.
        aggregate: How several proxies become one order; see ``combined``.
        weights: Weight by proxy, for ``aggregate="weighted"``.
        drawn: Whether how often a candidate was drawn ranks it too, as one proxy more.
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
        drawn: bool = False,
        origins: Mapping[str, str] | None = None,
    ) -> None:
        self._proxies = dict(proxies)
        self._pool = pool or PoolOptions()
        self._aggregate: Aggregate = aggregate
        self._weights = weights
        self._drawn = drawn
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
        names = "+".join(self._proxies)
        items = {f"{names}/{draw.architecture}": draw.architecture for draw in pool}
        failures = _Failures(len(pool), self._origins)
        table: list[Mapping[str, float]] = []
        context.report(0, len(pool))
        for draw, measured in zip(pool, context.measured(self._measure, items), strict=True):
            failures.add(draw, measured, self._proxies)
            table.append({**dict.fromkeys(self._proxies, -math.inf), **measured.scores})
            context.report(len(table), len(pool))
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
        if self._drawn:
            columns[_DRAWN] = [float(draw.count) for draw in pool]
        values = combined(columns, self._aggregate, self._weights)
        return Ranking(best_first(pool, values), table, failures=failures.of_candidates)

    def _measure(self, architecture: Architecture, context: SelectionContext) -> Measured:
        with seeded(context.seed):
            network = context.space.for_proxies().network(architecture, context.task)
        network = network.to(device=context.device, dtype=context.batch.images.dtype)
        found = score_network(network, context.batch, self._proxies, seed=context.seed)
        for name, error in found.errors.items():
            _log.debug("where proxy %r failed", name, exc_info=error)
        return Measured(found.scores, {n: told(error) for n, error in found.errors.items()})


class _Failures:
    """Counts the candidates on which proxies failed, and keeps the first cause of each."""

    def __init__(self, candidates: int, origins: Mapping[str, str]) -> None:
        self.of_candidates: dict[int, str] = {}
        self._candidates = candidates
        self._origins = origins
        self._seen = 0
        self._counts: dict[str, int] = {}
        self._first: dict[str, str] = {}
        self._without_score = 0

    def has(self, name: str) -> bool:
        """Whether a proxy failed, which was said."""
        return name in self._counts

    def add(self, draw: Draw, found: Measured, proxies: Iterable[str]) -> None:
        """Take note of the next candidate."""
        if found.failure is not None:
            self.of_candidates[self._seen] = found.failure
            errors: Mapping[str, str] = dict.fromkeys(proxies, found.failure)
        else:
            errors = found.errors
        self._seen += 1
        for name, cause in errors.items():
            self._counts[name] = self._counts.get(name, 0) + 1
            if name not in self._first:
                self._first[name] = cause
                _log.warning("%s failed on %s: %s", self._who(name), draw.architecture, cause)
        self._without_score += found.failure is not None or len(errors) == len(found.scores)

    def report(self) -> None:
        """Say how often each proxy failed.

        Raises:
            SelectionError: No candidate has a score of any proxy.
        """
        if self._without_score == self._candidates:
            causes = "; ".join(
                f"{self._who(name)} failed with {cause}" for name, cause in self._first.items()
            )
            raise SelectionError(
                f"nothing to rank the {self._candidates} candidates by: {causes}. Choose another "
                f"proxy with --selector, or 'argmax' for the search's own choice."
            )
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
