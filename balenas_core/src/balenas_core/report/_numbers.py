"""Numbers as text."""

from __future__ import annotations

from typing import Any

ABSENT = "-"
_LARGEST = 1e150
"""Above it squares overflow; no number of a search that means something is as large."""


def as_number(value: Any) -> float | None:
    """Return what is a number of sensible size as a float, anything else as None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < _LARGEST else None  # NaN is less than nothing


def short(value: float | None) -> str:
    """Return a number with the digits that matter; a dash for None.

    Example:
        >>> short(0.123456), short(12.0), short(56674.4), short(1.1281298e11)
        ('0.1235', '12', '56,674', '1.128e+11')
    """
    if value is None:
        return ABSENT
    if abs(value) >= 1e7 or (abs(value) < 1e3 and value != int(value)):
        return f"{value:.4g}"
    return f"{value:,.0f}"


def percent(value: float | None) -> str:
    """Return a percentage; a dash for None."""
    return ABSENT if value is None else f"{value:.2f} %"


def duration(seconds: float | None) -> str:
    """Return a time; a dash for None.

    Example:
        >>> duration(59.94), duration(60.0), duration(3725.0)
        ('59.9 s', '1 min 0 s', '1 h 2 min')
    """
    if seconds is None:
        return ABSENT
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def count(number: int, one: str, many: str | None = None) -> str:
    """Return a number of things.

    Example:
        >>> count(1, "run"), count(2, "run"), count(0, "entry", "entries")
        ('1 run', '2 runs', '0 entries')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"
