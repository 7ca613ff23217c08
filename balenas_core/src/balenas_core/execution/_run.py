"""Items handed out to workers, tried again, and put back into their order."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from balenas_core.errors import BalenasError, is_out_of_memory
from balenas_core.execution._work import Answer, Work
from balenas_core.interfaces.executor import Executor, WorkerLostError, Workers
from balenas_core.plugins.options import ExecutorOptions, WorkerOptions

_log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

_GRACE: Final = 60.0
"""Seconds beyond the limit for a worker that is starting, or cannot even end itself."""

_BETWEEN_TICKS: Final = 1.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[R]):
    """What became of one item.

    Args:
        value: What the work returned; None where the item failed.
        error: Why it failed, the last time; None where it did not.
        seconds: What the last try took.
        attempts: How often it was tried.
    """

    value: R | None
    error: Exception | None
    seconds: float
    attempts: int


@dataclass(slots=True)
class _Try(Generic[T]):
    place: int
    item: T
    attempts: int = 0
    is_alone: bool = False
    begun: float = 0.0


@contextmanager
def open_workers(
    executor: Executor,
    function: Callable[[Any], Any],
    *,
    size: Callable[[Any], int] | None = None,
) -> Iterator[Workers]:
    """Yield workers of an executor that call a function, with its limit of time.

    Args:
        executor: Where they are.
        function: What they do.
        size: How many times the limit an item may take; once by default.

    Raises:
        BalenasError: There are none to be had.
    """
    with executor.open(Work(function, limit=_limit(executor.options), size=size)) as workers:
        yield workers


def in_order(
    workers: Workers,
    items: Iterable[T],
    options: ExecutorOptions,
    *,
    tick: Callable[[], None] | None = None,
) -> Iterator[Outcome[Any]]:
    """Yield what becomes of items, in their order; arguments as of ``as_done``."""
    early: dict[int, Outcome[Any]] = {}
    following = 0
    for place, outcome in as_done(workers, items, options, tick=tick):
        early[place] = outcome
        while following in early:
            yield early.pop(following)
            following += 1


def as_done(
    workers: Workers,
    items: Iterable[T],
    options: ExecutorOptions,
    *,
    tick: Callable[[], None] | None = None,
) -> Iterator[tuple[int, Outcome[Any]]]:
    """Yield (place, what became of the item there) as it becomes known.

    An item fails where the work raises or its worker is lost, ``options.attempts`` times. Where
    nobody knows which of several items has ended a worker, each of them is tried once more by
    itself, and that they were lost together counts for none.

    Args:
        workers: Who work.
        items: What for; read as workers become free.
        options: The executor's: attempts, and the limit of time.
        tick: Called now and then while workers work; may raise to end it.

    Raises:
        BalenasError: The work raised one, other than for want of a worker: it is no item's own
            failure, and would be every item's.
        Exception: Memory ran out in the work.
    """
    hand_out = _HandOut(workers, items, options, tick)
    while hand_out.fill():
        yield from hand_out.wait()


class _HandOut(Generic[T]):
    """The state of ``as_done``."""

    def __init__(
        self,
        workers: Workers,
        items: Iterable[T],
        options: ExecutorOptions,
        tick: Callable[[], None] | None,
    ) -> None:
        self._workers = workers
        self._new = enumerate(items)
        self._attempts = options.attempts
        self._limit = _limit(options)
        self._tick = tick
        self._again: deque[_Try[T]] = deque()
        self._alone: deque[_Try[T]] = deque()
        self._running: dict[Future[Any], _Try[T]] = {}

    def fill(self) -> bool:
        """Give every free worker an item; return whether anybody works."""
        while len(self._running) < self._room():
            following = self._following()
            if following is None:
                break
            following.begun = time.monotonic()
            self._running[self._workers.submit(following.item)] = following
        return bool(self._running)

    def _room(self) -> int:
        # Nothing else works while an item is tried by itself.
        if any(running.is_alone for running in self._running.values()):
            return 0
        if self._alone:
            return 0 if self._running else 1
        return self._workers.count

    def _following(self) -> _Try[T] | None:
        if self._alone:
            return self._alone.popleft()
        if self._again:
            return self._again.popleft()
        found = next(self._new, None)
        return None if found is None else _Try(*found)

    def wait(self) -> Iterator[tuple[int, Outcome[Any]]]:
        """Yield what was answered or has failed for good, after a while at the latest."""
        done, _ = wait(self._running, timeout=_BETWEEN_TICKS, return_when=FIRST_COMPLETED)
        if self._tick is not None:
            self._tick()
        for future in done:
            tried = self._running.pop(future)
            outcome = self._outcome(future, tried)
            if outcome is not None:
                yield tried.place, outcome
        self._lose_patience()

    def _outcome(self, future: Future[Any], tried: _Try[T]) -> Outcome[Any] | None:
        """Return what became of an item; None where it is tried again."""
        seconds = time.monotonic() - tried.begun
        try:
            answer: Answer[Any] = future.result()
        except WorkerLostError as error:
            if error.is_shared and not tried.is_alone:
                _log.warning("%s; what it worked for is tried again, one by one", error)
                tried.is_alone = True
                self._alone.append(tried)
                return None
            return self._failed(tried, self._explained(error, seconds), seconds)
        except CancelledError:
            lost = WorkerLostError("its worker was ended")
            return self._failed(tried, self._explained(lost, seconds), seconds)
        if answer.error is None:
            return Outcome(answer.value, None, answer.seconds, tried.attempts + 1)
        if isinstance(answer.error, BalenasError) or is_out_of_memory(answer.error):
            raise answer.error
        return self._failed(tried, answer.error, answer.seconds)

    def _failed(self, tried: _Try[T], error: Exception, seconds: float) -> Outcome[Any] | None:
        tried.attempts += 1
        if tried.attempts >= self._attempts:
            return Outcome(None, error, seconds, tried.attempts)
        _log.warning(
            "%s: %s; tried again (%d of %d)",
            type(error).__name__,
            error,
            tried.attempts + 1,
            self._attempts,
        )
        (self._alone if tried.is_alone else self._again).append(tried)
        return None

    def _explained(self, error: WorkerLostError, seconds: float) -> WorkerLostError:
        if self._limit is not None and seconds >= self._limit:
            return WorkerLostError(f"not done within the limit of {self._limit:g} s ({error})")
        return error

    def _lose_patience(self) -> None:
        if self._limit is None:
            return
        for future, running in self._running.items():
            if time.monotonic() - running.begun > self._limit + _GRACE:
                self._workers.give_up(future)


def _limit(options: ExecutorOptions) -> float | None:
    return options.limit if isinstance(options, WorkerOptions) else None
