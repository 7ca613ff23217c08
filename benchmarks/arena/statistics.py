"""Means with intervals over seeds, and paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and its 95 % interval, by the percentile bootstrap."""

    mean: float
    low: float
    high: float
    count: int

    def text(self, digits: int = 2) -> str:
        """Return ``mean [low, high]``; the mean alone where there is one seed."""
        if self.count == 1:
            return f"{self.mean:.{digits}f}"
        return f"{self.mean:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


def estimate(values: Sequence[float]) -> Estimate:
    """Return the mean of a number per seed.

    Example:
        >>> estimate([1.0, 1.0, 1.0]).text()
        '1.00 [1.00, 1.00]'
    """
    array = np.asarray(values, dtype=np.float64)
    draws = np.random.default_rng(0).integers(array.size, size=(RESAMPLES, array.size))
    low, high = np.quantile(array[draws].mean(1), [0.025, 0.975])
    return Estimate(float(array.mean()), float(low), float(high), array.size)


def difference(values: Mapping[int, float], others: Mapping[int, float]) -> Estimate | None:
    """Return the mean difference over the seeds that both have; None where they share none.

    Example:
        >>> difference({0: 1.0, 1: 2.0, 2: 9.0}, {0: 2.0, 1: 3.0}).text()
        '-1.00 [-1.00, -1.00]'
    """
    seeds = sorted(values.keys() & others.keys())
    return estimate([values[s] - others[s] for s in seeds]) if seeds else None
