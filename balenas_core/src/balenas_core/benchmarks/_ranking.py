"""Ranks and percentiles of whole columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def ranks(values: NDArray[np.float64], *, is_cost: bool) -> NDArray[np.int64]:
    """Return 1 + the number of better values for each; 0 for NaN.

    Example:
        >>> ranks(np.array([3.0, 5.0, 5.0, np.nan]), is_cost=False).tolist()
        [3, 1, 1, 0]
    """
    measured = ~np.isnan(values)
    losses = values if is_cost else -values
    ordered = np.sort(losses[measured])
    found = np.searchsorted(ordered, losses, side="left") + 1
    return np.where(measured, found, 0).astype(np.int64)


def percentiles(values: NDArray[np.float64], *, is_cost: bool) -> NDArray[np.float64]:
    """Return the percentage of values that are not better, 100 for the best; NaN for NaN.

    Example:
        >>> percentiles(np.array([3.0, 5.0, 4.0, 1.0]), is_cost=False).tolist()
        [50.0, 100.0, 75.0, 25.0]
    """
    rank = ranks(values, is_cost=is_cost)
    total = int(np.sum(rank > 0))
    return np.where(rank > 0, 100.0 * (total - rank + 1) / max(total, 1), np.nan)


def best_value(values: NDArray[np.float64], *, is_cost: bool) -> float:
    """Return the best value that is not NaN; NaN if there is none."""
    measured = values[~np.isnan(values)]
    if not measured.size:
        return float("nan")
    return float(measured.min() if is_cost else measured.max())
