"""Executors: where independent pieces of work run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from balenas_core.errors import BalenasError
from balenas_core.plugins.options import ExecutorOptions


class WorkerLostError(BalenasError):
    """A worker ended, or was ended, before it could answer.

    Args:
        message: What is known of its end.
        is_shared: Whether work of other workers was lost with it, so that nobody knows whose
            work has ended it.
    """

    def __init__(self, message: str, *, is_shared: bool = False) -> None:
        super().__init__(message)
        self.is_shared = is_shared


class Workers(ABC):
    """Processes that know one piece of work and do it for one item after the other.

    ``balenas_core.execution`` never hands them more items at once than ``count``.
    """

    @property
    @abstractmethod
    def count(self) -> int:
        """For how many items they work at once, at least 1; it may change."""

    @abstractmethod
    def submit(self, item: Any) -> Future[Any]:
        """Let a worker call the work with an item, and return what it will answer.

        A worker that dies fails the future with ``WorkerLostError``, and later calls find
        another in its place.
        """

    def give_up(self, future: Future[Any]) -> None:
        """End the worker of a future that should have answered long ago, if that can be done."""
        del future

    @abstractmethod
    def close(self) -> None:
        """Forget the work, and what is not answered yet."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Executor(ABC):
    """Opens workers, here or on other machines.

    A plugin's implementation is called as ``Executor(options)``. It moves items and answers, and
    says when a worker is lost; ``balenas_core.execution`` does the rest, the same for every
    executor: it sets threads, keeps limits of time, tries again, and restores the order.

    Args:
        options: The options that all executors share, and its own.
    """

    def __init__(self, options: ExecutorOptions) -> None:
        self.options = options

    def check(self) -> None:  # noqa: B027
        """Find out, before anything long begins, whether workers can be had; nothing here.

        Raises:
            BalenasError: They cannot; the message says what to do.
        """

    @abstractmethod
    def open(self, work: Callable[[Any], Any]) -> Workers:
        """Return workers that know ``work``, which can be pickled and may be large.

        Raises:
            BalenasError: There are none to be had.
        """

    def close(self) -> None:  # noqa: B027
        """End what was started for it; nothing here."""
