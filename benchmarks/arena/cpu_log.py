"""CPU seconds of a run, however often it was interrupted."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path


class CpuLog:
    """CPU seconds that all processes have spent, kept in a file.

    Args:
        path: The file.
        interval: CPU seconds between two records.
    """

    def __init__(self, path: Path, interval: float = 5.0) -> None:
        self._path = path
        self._interval = interval
        self._before: float = json.loads(path.read_text()) if path.exists() else 0.0
        self._start = self._recorded = time.process_time()

    @property
    def seconds(self) -> float:
        """CPU seconds so far, without what was left out."""
        return self._before + time.process_time() - self._start

    def leave_out(self, seconds: float) -> None:
        """Leave out what the arena itself has spent."""
        self._start += seconds

    def tick(self, *, is_due: bool = False) -> None:
        """Record the seconds, if some have passed or if ``is_due``."""
        now = time.process_time()
        if not is_due and now - self._recorded < self._interval:
            return
        self._recorded = now
        temporary = self._path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(self.seconds))
        os.replace(temporary, self._path)
