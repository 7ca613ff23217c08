"""Several proxies' scores combined into one order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Aggregate = Literal["mean_rank", "log_rank", "weighted"]


def descending_ranks(values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rank of each value; 1 is the largest, ties share the mean of their ranks.

    Example:
        >>> descending_ranks([0.5, 0.9, 0.5]).tolist()
        [2.5, 1.0, 2.5]
    """
    array = np.asarray(values, dtype=np.float64)
    _, place, count = np.unique(-array, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    shared: NDArray[np.float64] = (last - (count - 1) / 2)[place]
    return shared


def mean_ranks(columns: Sequence[Sequence[float]]) -> list[float]:
    """Return the mean over columns of each row's rank; 1 is the largest, ties share a rank.

    Example:
        >>> mean_ranks([[0.5, 0.9, 0.5], [3.0, 2.0, 1.0]])
        [1.75, 1.5, 2.75]
    """
    return weighted_ranks(columns, [1.0] * len(columns))


def weighted_ranks(columns: Sequence[Sequence[float]], weights: Sequence[float]) -> list[float]:
    """Return ``sum_i w_i rank_i / sum_i w_i`` for each row; 1 is the best.

    Example:
        >>> weighted_ranks([[1.0, 2.0], [2.0, 1.0]], [3.0, 1.0])
        [1.75, 1.25]
    """
    ranks = np.stack([descending_ranks(column) for column in columns])
    return [float(rank) for rank in np.average(ranks, axis=0, weights=np.asarray(weights))]


def log_rank_sums(columns: Sequence[Sequence[float]]) -> list[float]:
    """Return ``sum_i log(rank_i / n)`` for each row, where rank n is the best of n rows.

    Larger is better, 0 is the best in everything. A row that is last under one proxy pays for
    it more than under the mean of ranks.

    References:
        Lee and Ham 2024, "AZ-NAS: Assembling Zero-Cost Proxies for Network Architecture
        Search", CVPR: "non-linear ranking aggregation".

    Example:
        >>> [round(value, 3) for value in log_rank_sums([[1.0, 2.0], [1.0, 2.0]])]
        [-1.386, 0.0]
    """
    n = len(columns[0])
    ranks = np.stack([n + 1 - descending_ranks(column) for column in columns])
    return [float(value) for value in np.log(ranks / n).sum(axis=0)]


def combined(
    columns: Mapping[str, Sequence[float]],
    aggregate: Aggregate = "log_rank",
    weights: Mapping[str, float] | None = None,
) -> list[float]:
    """Return one value for each row, larger is better.

    Args:
        columns: Scores by proxy, larger is better.
        aggregate: ``log_rank``, ``mean_rank`` or ``weighted`` (mean of ranks by weight).
        weights: Weight by proxy for ``weighted``; 1 for those left out.
    """
    values = list(columns.values())
    if aggregate == "log_rank":
        return log_rank_sums(values)
    given = weights or {} if aggregate == "weighted" else {}
    return [-rank for rank in weighted_ranks(values, [given.get(name, 1.0) for name in columns])]
