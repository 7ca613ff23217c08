"""Schedules of the temperature or of the effective sample size over the steps.

Any callable from the number of finished steps to a positive number will do; these are plain
values that pickle, copy and compare.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from balenas_optimizer_ngvi.errors import OptionError

Schedule: TypeAlias = Callable[[int], float]
"""Number of finished steps -> value."""


def _check(steps: int, start: float, end: float) -> None:
    if steps < 1:
        raise OptionError(f"`steps` must be at least 1; got {steps}")
    if not (0 < start < math.inf and 0 < end < math.inf):
        raise OptionError(f"`start` and `end` must be positive and finite; got {start} and {end}")


@dataclass(frozen=True, slots=True)
class LinearSchedule:
    """Goes from ``start`` to ``end`` in a straight line, then stays.

    value(t) = start + (end - start) * min(t / steps, 1). As a temperature with a small start
    it is the warm-up that the authors of VOGN advise.

    Example:
        >>> LinearSchedule(steps=100, start=0.1)(50)
        0.55
    """

    steps: int
    start: float
    end: float = 1.0

    def __post_init__(self) -> None:
        _check(self.steps, self.start, self.end)

    def __call__(self, step: int) -> float:
        """Return the value after ``step`` finished steps."""
        return self.start + (self.end - self.start) * min(step / self.steps, 1.0)


@dataclass(frozen=True, slots=True)
class CosineSchedule:
    """Goes from ``start`` to ``end`` along half a cosine, then stays.

    value(t) = end + (start - end) / 2 * (1 + cos(pi * min(t / steps, 1))).

    Example:
        >>> CosineSchedule(steps=100, start=1.0, end=0.01)(100)
        0.01
    """

    steps: int
    start: float
    end: float

    def __post_init__(self) -> None:
        _check(self.steps, self.start, self.end)

    def __call__(self, step: int) -> float:
        """Return the value after ``step`` finished steps."""
        phase = math.pi * min(step / self.steps, 1.0)
        return self.end + 0.5 * (self.start - self.end) * (1.0 + math.cos(phase))


def value_at(schedule: float | Schedule, step: int) -> float:
    """Return a constant itself, or a schedule's value."""
    return schedule(step) if callable(schedule) else schedule
