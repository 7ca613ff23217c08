"""Wall-clock time of a search, over all the processes that worked at it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class Clock:
    """Seconds by phase; phases can nest, and go on from what was spent before."""

    def __init__(self) -> None:
        self._spent: dict[str, float] = {}
        self._started: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time inside the block."""
        self._started[name] = time.perf_counter()
        try:
            yield
        finally:
            self._spent[name] = self.seconds(name)
            del self._started[name]

    def seconds(self, name: str) -> float:
        """Return the time of a phase, up to now if it is open."""
        spent = self._spent.get(name, 0.0)
        if name in self._started:
            spent += time.perf_counter() - self._started[name]
        return spent

    def add(self, seconds: Mapping[str, float]) -> None:
        """Add what another process has spent."""
        for name, value in seconds.items():
            self._spent[name] = self._spent.get(name, 0.0) + value

    def reset(self, name: str) -> None:
        """Start a phase that is not open from zero."""
        self._spent.pop(name, None)
