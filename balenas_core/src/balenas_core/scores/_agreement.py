"""How well scores order architectures by what they are worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from balenas_core.scores._aggregate import descending_ranks

Floats = NDArray[np.float64]
Statistic = Callable[[Floats, Floats], float]

_BEST_OF = 10
_TOP = 0.1


@dataclass(frozen=True, slots=True)
class Interval:
    """A statistic with the central 95 % of its bootstrap distribution."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """How scores agree with a value of which more is better.

    Args:
        count: Number of architectures.
        failed: How many of them have no score (``-inf``); they rank last.
        spearman: Correlation of the ranks.
        kendall: Tau-b: concordant minus discordant pairs, corrected for ties.
        top_overlap: Share of the best tenth by score that is in the best tenth by value.
        regret: By how much the one with the best score misses the best value.
        best_of_10_regret: The same of the best among the ten best scores.
    """

    count: int
    failed: int
    spearman: Interval
    kendall: Interval
    top_overlap: Interval
    regret: float
    best_of_10_regret: float


def agreement(
    scores: Floats, values: Floats, *, best: float, resamples: int = 1000, seed: int = 0
) -> Agreement:
    """Compare scores with values, both larger the better.

    Intervals are percentiles of the bootstrap over architectures. Of equal scores, regrets
    take the first.

    Args:
        scores: `n`-dim, n > 1; ``-inf`` where there is none.
        values: `n`-dim, finite.
        best: The value that regrets are measured from.
        resamples: Number of bootstrap samples; 0 gives intervals of NaN.
        seed: Of the bootstrap.

    References:
        Efron 1979, "Bootstrap Methods: Another Look at the Jackknife", Annals of Statistics.
    """
    statistics: dict[str, Statistic] = {
        "spearman": spearman,
        "kendall": kendall,
        "top_overlap": top_overlap,
    }
    draws: dict[str, list[float]] = {name: [] for name in statistics}
    random = np.random.default_rng(seed)
    for _ in range(resamples):
        rows = random.integers(len(scores), size=len(scores))
        for name, statistic in statistics.items():
            draws[name].append(statistic(scores[rows], values[rows]))
    order = np.argsort(-scores, kind="stable")
    return Agreement(
        count=len(scores),
        failed=int(np.sum(np.isneginf(scores))),
        **{name: _interval(f(scores, values), draws[name]) for name, f in statistics.items()},
        regret=float(best - values[order[0]]),
        best_of_10_regret=float(best - values[order[:_BEST_OF]].max()),
    )


def _interval(value: float, draws: list[float]) -> Interval:
    usable = [draw for draw in draws if not np.isnan(draw)]  # a resample can be of equal scores
    low, high = np.percentile(usable, [2.5, 97.5]) if usable else (np.nan, np.nan)
    return Interval(value, float(low), float(high))


def spearman(x: Floats, y: Floats) -> float:
    """Return the correlation of the ranks, ties sharing theirs; NaN if all of one are equal.

    Example:
        >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 9.0]))
        1.0
    """
    a, b = (ranks - ranks.mean() for ranks in (descending_ranks(x), descending_ranks(y)))
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale else float("nan")


def kendall(x: Floats, y: Floats) -> float:
    """Return Kendall's tau-b, in O(n log^2 n); NaN if all of one are equal.

    ``tau_b = (C - D) / sqrt((n0 - n1)(n0 - n2))`` with n0 pairs, n1 tied in x, n2 tied in y.

    References:
        Kendall 1945, "The Treatment of Ties in Ranking Problems", Biometrika.

    Example:
        >>> round(kendall(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])), 4)
        0.3333
    """
    n = len(x)
    xs, ys = _dense(x), _dense(y)
    pairs = n * (n - 1) // 2
    tied_x, tied_y = _tied(xs), _tied(ys)
    tied_both = _tied(_dense(xs * n + ys))
    # With ties of x in the order of y, only pairs of different x can be out of order.
    order = np.lexsort((ys, xs))
    discordant = _inversions(ys[order])
    concordant = pairs - tied_x - tied_y + tied_both - discordant
    scale = float(np.sqrt(float(pairs - tied_x) * float(pairs - tied_y)))
    return (concordant - discordant) / scale if scale else float("nan")


def _dense(values: NDArray[np.generic]) -> NDArray[np.int64]:
    _, places = np.unique(values, return_inverse=True)
    return np.asarray(places, dtype=np.int64)


def _tied(dense: NDArray[np.int64]) -> int:
    counts = np.bincount(dense)
    return int(np.sum(counts * (counts - 1) // 2))


def _inversions(ranks: NDArray[np.int64]) -> int:
    """Return the number of pairs i < j with ranks[i] > ranks[j].

    Two different numbers part at their highest different bit: one pass for each bit counts,
    within groups of equal higher bits, the ones that stand before zeros.
    """
    total = 0
    for bit in reversed(range(int(ranks.max(initial=0)).bit_length())):
        group = ranks >> (bit + 1)
        order = np.argsort(group, kind="stable")
        group, ones = group[order], (ranks[order] >> bit) & 1
        before = np.cumsum(ones) - ones
        starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
        at_start = np.repeat(before[starts], np.diff(np.r_[starts, len(group)]))
        total += int(np.sum((before - at_start)[ones == 0]))
    return total


def top_overlap(x: Floats, y: Floats) -> float:
    """Return the share of the best tenth of x that is in the best tenth of y.

    The tenth is rounded up; of equal values the first count.
    """
    count = int(np.ceil(_TOP * len(x)))
    best, wanted = (np.argsort(-values, kind="stable")[:count] for values in (x, y))
    return len(np.intersect1d(best, wanted)) / count
