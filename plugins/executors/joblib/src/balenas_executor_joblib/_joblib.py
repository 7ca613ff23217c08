"""Processes of loky, the back end of joblib."""

from __future__ import annotations

import pickle
import signal
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import joblib
from joblib.externals.loky import BrokenProcessPool, ProcessPoolExecutor
from joblib.externals.loky.process_executor import ShutdownExecutorError

from balenas_core.interfaces.executor import Executor, WorkerLostError, Workers
from balenas_executor_joblib import JoblibOptions

_LOST = "a process was killed or ended itself, most likely for want of memory or at a limit of time"

_known: dict[str, Callable[[Any], Any]] = {}


class JoblibExecutor(Executor):
    """Starts processes for each piece of work, and ends them with it.

    Args:
        options: How many, and what all executors share.
    """

    def __init__(self, options: JoblibOptions) -> None:
        super().__init__(options)
        self._count = options.workers or joblib.cpu_count()

    def open(self, work: Callable[[Any], Any]) -> Workers:
        """Return processes that read the work from a file when they first need it."""
        return _Processes(work, self._count)


class _Processes(Workers):
    def __init__(self, work: Callable[[Any], Any], count: int) -> None:
        self._count = count
        self._folder = tempfile.TemporaryDirectory(prefix="balenas-")
        self._path = str(Path(self._folder.name) / "work")
        try:
            with open(self._path, "wb") as file:
                pickle.dump(work, file, protocol=pickle.HIGHEST_PROTOCOL)
        except BaseException:
            self._folder.cleanup()
            raise
        self._pool: ProcessPoolExecutor | None = None
        self._asked: list[Future[Any]] = []

    @property
    def count(self) -> int:
        return self._count

    def submit(self, item: Any) -> Future[Any]:
        answer: Future[Any] = Future()
        answer.set_running_or_notify_cancel()
        try:
            asked = self._living_pool().submit(_work, self._path, item)
        except BrokenProcessPool:  # between two answers, so that nobody's work is lost
            self._end()
            asked = self._living_pool().submit(_work, self._path, item)
        self._asked = [*(future for future in self._asked if not future.done()), asked]
        asked.add_done_callback(lambda done: _hand_on(done, answer))
        return answer

    def give_up(self, future: Future[Any]) -> None:
        del future
        self._end()

    def close(self) -> None:
        self._end()
        self._folder.cleanup()

    def _living_pool(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self._count, initializer=_ignore_interrupts)
        return self._pool

    def _end(self) -> None:
        if self._pool is not None:
            # A KeyError ends loky's own thread (1.6.0), and leaves what it holds open, where it is
            # to kill its processes before it has handed all items on to them. It is about to: the
            # engine asks for no more items at once than there are processes.
            while not all(future.running() or future.done() for future in self._asked):
                time.sleep(0.001)
            self._pool.shutdown(wait=True, kill_workers=True)
            self._pool = None


def _hand_on(done: Future[Any], answer: Future[Any]) -> None:
    error = None if done.cancelled() else done.exception()
    if done.cancelled() or isinstance(error, BrokenProcessPool | ShutdownExecutorError):
        # loky gives up all that its processes were at when one of them dies, or is made to.
        answer.set_exception(WorkerLostError(_LOST, is_shared=True))
    elif error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(done.result())


def _ignore_interrupts() -> None:
    # A terminal sends them to all processes; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _work(path: str, item: Any) -> Any:
    if path not in _known:
        with open(path, "rb") as file:
            _known[path] = pickle.load(file)
    return _known[path](item)
