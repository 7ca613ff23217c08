"""Jobs killed by SIGKILL anywhere, for tests of what survives it. Needs ``os.fork``."""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
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


def killed_at_random(
    job: Callable[[str], object], *, kills: int, seed: int, writes_only: bool = False
) -> Iterator[str]:
    """Kill copies of this process at random points of a job, and yield what came to its end.

    Each job is begun anew until it ends, and then the next one is, until there were so many kills.

    Args:
        job: Begins, or goes on with, what is called by a name.
        kills: How many at least.
        seed: Of the points.
        writes_only: Whether to kill only where a run directory is written.

    Yields:
        The names of jobs that are done.
    """
    total = _events(job, writes_only=writes_only)
    chance = random.Random(seed)
    killed = chains = 0
    while killed < kills:
        name = f"run{chains}"
        chains += 1
        while code := run_forked(
            _counted(job, name, CallCounter(chance.randrange(1, total), writes_only=writes_only))
        ):
            assert code == -signal.SIGKILL, f"{name} ended by itself, with code {code}"
            killed += 1
        yield name


def _events(job: Callable[[str], object], *, writes_only: bool) -> int:
    """Return how many events an uninterrupted job has."""
    counter = CallCounter(writes_only=writes_only)
    run = _counted(job, "counted", counter)
    with tempfile.TemporaryFile() as file:

        def reported() -> None:
            run()
            os.write(file.fileno(), str(counter.count).encode())

        assert run_forked(reported) == 0, "the job fails without being killed"
        file.seek(0)
        return int(file.read())


def _counted(job: Callable[[str], object], name: str, counter: CallCounter) -> Callable[[], None]:
    def run() -> None:
        sys.setprofile(counter)
        try:
            job(name)
        finally:
            sys.setprofile(None)

    return run
