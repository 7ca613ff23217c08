"""The sign of life of a run in ``status.json``, and what it says to a reader.

A run beats where it has done a unit of work: a step, a batch, a candidate. So the beats of a
slow run come slowly, and those of one that hangs do not come any more. Imports no torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, Self

EVERY: Final = 5.0
"""Seconds between two beats that are written, at least."""

_PATIENCE: Final = 30.0
"""Seconds of silence that mean nothing: a checkpoint is written, the machine is busy."""
_UNITS_OF_SILENCE: Final = 10
"""So many times the longest unit of work so far may pass before a run counts as stalled."""
_FIRST_UNIT: Final = 600.0
"""Seconds that the first unit may take, of which nothing is known: it may compile first."""


@dataclass(frozen=True, slots=True)
class Beat:
    """How far a run is.

    Args:
        at: When, as ISO 8601.
        phase: What it is at: ``search``, ``selection``, ``check`` or ``training``.
        done: Steps, candidates or epochs of the phase that are done.
        total: Of how many; 0 where nobody knows yet.
        slowest: Seconds of the longest unit of work since the process began; 0 before the first.
    """

    at: str
    phase: str
    done: int
    total: int
    slowest: float

    @classmethod
    def read(cls, stored: Mapping[str, Any] | None) -> Self | None:
        """Return what ``status.json`` says; None for nothing."""
        if stored is None:
            return None
        return cls(*(stored[name] for name in ("at", "phase", "done", "total", "slowest")))

    @property
    def patience(self) -> float:
        """After how many seconds without another beat the run counts as stalled."""
        if not self.slowest:
            return _FIRST_UNIT
        return max(_PATIENCE, _UNITS_OF_SILENCE * self.slowest) + EVERY

    def age(self, now: datetime) -> float:
        """Return how many seconds ago it was."""
        return max(0.0, (now - datetime.fromisoformat(self.at)).total_seconds())


class Heartbeat:
    """Writes beats, at most one every few seconds.

    Args:
        write: Puts a beat into ``status.json``.
    """

    def __init__(self, write: Callable[[Mapping[str, Any]], None]) -> None:
        self._write = write
        self._place = ("", 0, 0)
        self._slowest = 0.0
        self._last_unit: float | None = None
        self._last_written = -EVERY

    def reached(self, phase: str, done: int, total: int) -> None:
        """Take note of a place that is written at once where the phase is a new one."""
        is_new = phase != self._place[0]
        self._place = (phase, done, total)
        if is_new:
            self._last_written = time.monotonic() - EVERY
        self.beat()

    def beat(self) -> None:
        """Take note that a unit of work is done, and write that if the last time is long ago."""
        now = time.monotonic()
        if self._last_unit is not None:
            self._slowest = max(self._slowest, now - self._last_unit)
        self._last_unit = now
        if now - self._last_written < EVERY:
            return
        self._last_written = now
        at = datetime.now().astimezone().isoformat(timespec="milliseconds")
        phase, done, total = self._place
        self._write(asdict(Beat(at, phase, done, total, round(self._slowest, 3))))
