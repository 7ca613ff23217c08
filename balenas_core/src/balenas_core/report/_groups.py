"""Runs that differ in their seed only, and what is known over their seeds."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from balenas_core.config.flat import flat
from balenas_core.report._record import RunRecord
from balenas_core.runs.resume import MAY_DIFFER

Points = Sequence[tuple[float, float]]

# fmt: off
_T_95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
)
# fmt: on
"""97.5 % quantiles of Student's t for 1, 2, ... degrees of freedom."""
_NORMAL_95 = 1.96


@dataclass(frozen=True, slots=True)
class Group:
    """Runs of one configuration.

    Args:
        name: A letter.
        runs: They differ in their seed, and in where they ran.
    """

    name: str
    runs: Sequence[RunRecord]

    @property
    def title(self) -> str:
        """What it is called in legends and headings."""
        return f"group {self.name}"


@dataclass(frozen=True, slots=True)
class SeedBand:
    """The mean over runs, with its confidence interval.

    Args:
        runs: Epochs and values of every run.
        rows: Epoch, mean, and the ends of the interval, for every epoch that two runs have; of
            one run alone, the ends are the value.
    """

    runs: Sequence[Points]
    rows: Sequence[tuple[float, float, float, float]]


def grouped(runs: Sequence[RunRecord]) -> list[Group]:
    """Return the groups in the order in which their first runs come.

    A run without a configuration is a group of its own.
    """
    found: dict[str, list[RunRecord]] = {}
    for number, run in enumerate(runs):
        found.setdefault(_key(run) or f"run {number}", []).append(run)
    return [Group(_letter(number), group) for number, group in enumerate(found.values())]


def _key(run: RunRecord) -> str:
    kept = {
        key: value
        for key, value in flat(run.info.config)
        if key != "seed" and not any(key == f or key.startswith(f"{f}.") for f in MAY_DIFFER)
    }
    return json.dumps(kept, sort_keys=True, default=str) if kept else ""


def _letter(number: int) -> str:
    """Return A, ..., Z, AA, AB, ...

    Example:
        >>> _letter(0), _letter(25), _letter(26)
        ('A', 'Z', 'AA')
    """
    letters = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean, and half the width of its 95 % confidence interval (Student's t).

    The half width is 0 for one value, of which nothing is known.

    Example:
        >>> mean_interval([1.0, 2.0, 3.0])
        (2.0, 2.484...)
    """
    mean = math.fsum(values) / len(values)
    freedom = len(values) - 1
    if freedom == 0:
        return mean, 0.0
    variance = math.fsum((value - mean) ** 2 for value in values) / freedom
    quantile = _T_95[freedom - 1] if freedom <= len(_T_95) else _NORMAL_95
    return mean, quantile * math.sqrt(variance / len(values))


def seed_band(runs: Sequence[Points]) -> SeedBand | None:
    """Return the band over runs; None where none of them has a value."""
    known = [points for points in runs if points]
    by_epoch: dict[float, list[float]] = {}
    for points in known:
        for epoch, value in points:
            by_epoch.setdefault(epoch, []).append(value)
    needed = min(2, len(known))
    rows = []
    for epoch, values in sorted(by_epoch.items()):
        if len(values) >= needed:
            mean, half = mean_interval(values)
            rows.append((epoch, mean, mean - half, mean + half))
    return SeedBand(known, rows) if known else None
