"""Jobs killed by SIGKILL anywhere, for tests of what survives it. Needs ``os.fork``."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from types import FrameType

_WRITERS = (
    "_atomic.py",
    "_lock.py",
    "_regular.py",
    "checkpoints.py",
    "directory.py",
    "epoch_log.py",
    "score_log.py",
    "tempfile.py",
)


class CallCounter:
    """Counts calls and returns of Python and C functions, and ends the process at one.

    It is a profile function: ``sys.setprofile(CallCounter(1000))``.

    Args:
        limit: The call or return at which the process is killed; None for never.
        writes_only: Whether to count only where a run directory is written.
    """

    def __init__(self, limit: int | None = None, *, writes_only: bool = False) -> None:
        self.count = 0
        self._limit = limit
        self._writes_only = writes_only

    def __call__(self, frame: FrameType, event: str, arg: object) -> None:
        """Count one event."""
        if not self._writes_only or os.path.basename(frame.f_code.co_filename) in _WRITERS:
            self.count += 1
            if self.count == self._limit:
                os.kill(os.getpid(), signal.SIGKILL)


def run_forked(job: Callable[[], object], *, after: float | None = None) -> int:
    """Run a job in a copy of this process; return its exit code, minus the signal if killed.

    Args:
        job: What to run.
        after: Seconds until it is killed from outside; None for never.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork, from Python 3.12 on
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            job()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.setprofile(None)
            os._exit(code)
    timer = None
    if after is not None:
        timer = threading.Timer(after, os.kill, (pid, signal.SIGKILL))
        timer.start()
    _, status = os.waitpid(pid, 0)
    if timer is not None:
        timer.cancel()
    return os.waitstatus_to_exitcode(status)
