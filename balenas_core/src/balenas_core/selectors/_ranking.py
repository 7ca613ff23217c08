"""Training-free selection: candidates ranked by proxies."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence

import numpy as np
from torch import nn

from balenas_core.proxy import Proxy
from balenas_core.random import seeded
from balenas_core.selection import Candidate, Selection, SelectionContext, Selector
from balenas_core.selectors._draws import Draw, distinct_draws

_log = logging.getLogger(__name__)


class RankingSelector(Selector):
    """Draws candidates and ranks them by the mean of their ranks under each proxy.

    Every candidate's network starts from the same seed. A proxy that raises on a candidate is
    reported, and the candidate scores ``-inf`` under it.

    Args:
        proxies: Proxy by name.
        draws: Number of architectures drawn; the argmax of the mean always joins them.

    References:
        Zhang et al. 2022, "BaLeNAS", CVPR, section 4.3 (BaLeNAS-TF).
    """

    def __init__(self, proxies: Mapping[str, Proxy], *, draws: int) -> None:
        self._proxies = dict(proxies)
        self._draws = draws

    def select(self, context: SelectionContext) -> Selection:
        """Score every distinct draw and rank them, best first."""
        pool = distinct_draws(context, self._draws)
        table: list[Mapping[str, float]] = []
        for done, draw in enumerate(pool):
            context.report(done, len(pool))
            table.append(self._remembered_scores(draw, context))
        context.report(len(pool), len(pool))
        columns = [[row[name] for row in table] for name in self._proxies]
        ranks = mean_ranks(columns)
        order = sorted(range(len(pool)), key=lambda i: (ranks[i], *_tie_break(pool[i])))
        return Selection(
            tuple(
                Candidate(pool[i].architecture, rank, table[i], pool[i].is_argmax, pool[i].count)
                for rank, i in enumerate(order, start=1)
            )
        )

    def _remembered_scores(self, draw: Draw, context: SelectionContext) -> Mapping[str, float]:
        return context.remember(str(draw.architecture), lambda: self._scores(draw, context))

    def _scores(self, draw: Draw, context: SelectionContext) -> dict[str, float]:
        with seeded(context.seed):
            network = context.space.network(draw.architecture, context.task)
        network = network.to(device=context.device, dtype=context.batch.images.dtype)
        return {
            name: _score(name, proxy, network, draw, context)
            for name, proxy in self._proxies.items()
        }


def _score(
    name: str, proxy: Proxy, network: nn.Module, draw: Draw, context: SelectionContext
) -> float:
    try:
        with seeded(context.seed):
            score = float(proxy.score(network, context.batch))
    except Exception as error:  # one candidate must not end a search of hours
        _log.warning("proxy %r failed on %s: %s", name, draw.architecture, error, exc_info=True)
        return -math.inf
    return -math.inf if math.isnan(score) else score


def mean_ranks(columns: Sequence[Sequence[float]]) -> list[float]:
    """Return the mean over columns of each row's rank; 1 is the largest, ties share a rank.

    Example:
        >>> mean_ranks([[0.5, 0.9, 0.5], [3.0, 2.0, 1.0]])
        [1.75, 1.5, 2.75]
    """
    ranks = []
    for column in columns:
        values = np.asarray(column, dtype=np.float64)
        above = (values[None, :] > values[:, None]).sum(axis=1)
        equal = (values[None, :] == values[:, None]).sum(axis=1)
        ranks.append(above + (equal + 1) / 2)
    return [float(rank) for rank in np.mean(ranks, axis=0)]


def _tie_break(draw: Draw) -> tuple[bool, int, str]:
    return not draw.is_argmax, -draw.count, str(draw.architecture)
