"""The executor without workers: this process."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from balenas_core.interfaces.executor import Executor, Workers


class LocalExecutor(Executor):
    """Does one piece of work after the other, in this process."""

    def open(self, work: Callable[[Any], Any]) -> Workers:
        """Return this process as the only worker."""
        return _ThisProcess(work)


class _ThisProcess(Workers):
    def __init__(self, work: Callable[[Any], Any]) -> None:
        self._work = work

    @property
    def count(self) -> int:
        return 1

    def submit(self, item: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(self._work(item))
        return future

    def close(self) -> None:
        pass
