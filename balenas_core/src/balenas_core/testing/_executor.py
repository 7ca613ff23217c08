"""Checks of executors."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from balenas_core.errors import BalenasError
from balenas_core.execution import Outcome, in_order, open_workers
from balenas_core.interfaces.executor import Executor, WorkerLostError, Workers
from balenas_core.plugins.options import ExecutorOptions
from balenas_core.testing._plugin import PluginConformance

_DELAY = 0.05


class ExecutorConformance(PluginConformance):
    """Every item is answered once, as it is, and an error of the work is the work's alone."""

    kind = "executor"
    base = Executor

    patience: ClassVar[float] = 120.0
    """Seconds after which a future that nobody has answered is lost."""

    @contextlib.contextmanager
    def executor(self) -> Iterator[Executor]:
        """Build the executor, and close it in the end."""
        executor: Executor = self.build()
        try:
            yield executor
        finally:
            executor.close()

    def use(self) -> None:
        """Work on a few items."""
        self.outcomes(_square, range(3))

    def outcomes(self, work: Callable[[Any], Any], items: Iterable[Any]) -> list[Outcome[Any]]:
        """Let the executor's workers do a piece of work for every item, as the engine does."""
        with self.executor() as executor:
            executor.check()
            with open_workers(executor, work) as workers:
                return self.answered(executor, workers, items)

    def answered(
        self, executor: Executor, workers: Workers, items: Iterable[Any]
    ) -> list[Outcome[Any]]:
        """Return what becomes of items, where every one is answered in time."""
        end = time.monotonic() + self.patience

        def tick() -> None:
            assert time.monotonic() < end, (
                f"an item was not answered within {self.patience:g} s: the future that submit() "
                f"returns must get a result, or an error such as WorkerLostError, whatever the "
                f"item and its answer are"
            )

        try:
            return list(in_order(workers, items, executor.options, tick=tick))
        except (AttributeError, TypeError) as error:
            raise AssertionError(
                f"submit() must return a future of exactly what the work returns for the item, "
                f"not unpacked and not replaced; got {type(error).__name__}: {error}"
            ) from error

    def test_it_has_its_options(self) -> None:
        model = self.ref().load().options
        assert isinstance(model, type), (
            "declare options: balenas_core.plugins.options.ExecutorOptions, or a class of your own "
            "that derives from it"
        )
        assert issubclass(model, ExecutorOptions), (
            f"derive {model.__name__} from balenas_core.plugins.options.ExecutorOptions, or "
            f"WorkerOptions where workers are processes: attempts and limits stand there"
        )
        with self.executor() as executor:
            assert isinstance(getattr(executor, "options", None), model), (
                "the executor has no options: call super().__init__(options)"
            )

    def test_every_item_comes_back_once_as_it_is_and_in_order(self) -> None:
        # One piece of work: starting workers may take long.
        with (
            tempfile.TemporaryDirectory() as folder,
            self.executor() as executor,
            open_workers(executor, partial(_answer, folder)) as workers,
        ):

            def values(items: Iterable[Any]) -> list[Any]:
                return [outcome.value for outcome in self.answered(executor, workers, items)]

            for count in (0, 1, 2, 7, 40):
                found = values(range(count))
                assert found == list(range(count)), (
                    f"workers must answer each of {count} items once; got {found}"
                )
            found = values(_Slow(number) for number in range(6))
            assert found == [_Slow(number) for number in range(6)], (
                f"where some items take longer than others, a future has another item's answer: "
                f"{found}. Keep the future with its item"
            )
            items = [(1, 2), {"a": (1, 2)}, {"a": (1, 2)}, None, 0, "", (1, 2), [3], b"x"]
            found = values(items)
            assert found == items, (
                f"items and answers of any kind must arrive as they are, equal ones too: {items} "
                f"came back as {found}"
            )
            kinds = [type(answer) for answer in found]
            assert kinds == [type(item) for item in items], f"kinds of answers changed: {kinds}"
            values(_Counted(number) for number in range(4))
            # A worker on another machine counts there.
            counts = {path.name: path.stat().st_size for path in Path(folder).iterdir()}
        for name, calls in counts.items():
            assert calls == 1, (
                f"the work was called {calls} times for item {name}: it may take hours. "
                f"balenas_core.execution tries again what is lost; an executor does not"
            )

    def test_work_may_be_any_function(self) -> None:
        offset = 3
        try:
            found = [o.value for o in self.outcomes(lambda number: number + offset, range(3))]
        except (AttributeError, ImportError, BalenasError) as error:
            raise AssertionError(
                f"the work may be any function: send the balenas_core.execution.Work that open() "
                f"gets as it is, which is pickled by value; got {type(error).__name__}: {error}"
            ) from error
        assert found == [3, 4, 5], f"a function inside of a function is worked as {found}"

    def test_an_error_of_the_work_is_that_item_s_alone(self) -> None:
        with self.executor() as executor:
            with open_workers(executor, _failing) as workers:
                found = self.answered(executor, workers, range(4))
            with open_workers(executor, _square) as workers:
                after = [o.value for o in self.answered(executor, workers, range(4))]
        assert [o.error is None for o in found] == [True, True, False, True], (
            f"the work raised for item 2 alone, and outcomes are {found}"
        )
        assert "this is item 2" in str(found[2].error), (
            f"the error must be the work's own; got {found[2].error!r}"
        )
        assert after == [0, 1, 4, 9], f"after an error of other work, workers answer {after}"

    def test_a_worker_that_ends_loses_its_item_alone(self) -> None:
        with self.executor() as executor, open_workers(executor, _ending) as workers:
            (outcome,) = self.answered(executor, workers, [None])
            if outcome.value == os.getpid():
                return  # it works in this process, which would end
            found = self.answered(executor, workers, range(4))
        assert [o.value for o in found] == [0, 1, None, 3], (
            f"the worker of item 2 ended itself; other items must be answered all the same, by "
            f"another worker: {found}"
        )
        assert isinstance(found[2].error, WorkerLostError), (
            f"the future of a worker that ended must fail with "
            f"balenas_core.interfaces.executor.WorkerLostError; got {found[2].error!r}"
        )

    def test_two_pieces_of_work_at_once_are_told_apart(self) -> None:
        with (
            self.executor() as executor,
            open_workers(executor, _square) as squares,
            open_workers(executor, _as_it_is) as same,
        ):
            found = [
                [o.value for o in self.answered(executor, workers, range(4))]
                for workers in (squares, same)
            ]
        assert found == [[0, 1, 4, 9], [0, 1, 2, 3]], (
            f"open() was called twice, and workers of one work answer for the other: {found}. Let "
            f"the Workers keep their work, not the Executor"
        )

    def test_workers_say_how_many_they_are(self) -> None:
        with self.executor() as executor:
            opened = executor.open(_square)
            assert isinstance(opened, Workers), f"open() must return Workers; got {opened!r}"
            with opened as workers:
                answer = workers.submit(3)
                assert isinstance(answer, Future), f"submit() must return a Future; got {answer!r}"
                found = answer.result(timeout=self.patience)
                assert found == 9, f"a worker calls the work with the item, 3; it answered {found}"
                count = workers.count
                assert isinstance(count, int), f"count must be a whole number; got {count!r}"
                assert count >= 1, f"count must be at least 1; got {count}"

    def test_closing_forgets_what_is_not_answered(self) -> None:
        with self.executor() as executor:
            workers = executor.open(_slow)
            futures = [workers.submit(seconds) for seconds in [_DELAY] * (4 * workers.count)]
            begun = time.monotonic()
            workers.close()
            seconds = time.monotonic() - begun
            late = [future for future in futures if future.done() and not future.cancelled()]
        answered = sum(future.exception() is None for future in late)
        assert answered < len(futures) or seconds < _DELAY, (
            f"close() waited {seconds:.1f} s for all of {len(futures)} items: it must forget what "
            f"is not begun, since a search was interrupted or has ended"
        )

    def test_closing_twice_is_no_error(self) -> None:
        with self.executor() as executor:
            workers = executor.open(_square)
            workers.close()
            workers.close()
            executor.close()


def _square(number: int) -> int:
    return number * number


def _as_it_is(item: Any) -> Any:
    return item


class _Slow(int):
    """An item that takes long if it is even."""


class _Counted(int):
    """An item whose work leaves a trace of every call."""


def _answer(folder: str, item: Any) -> Any:
    if isinstance(item, _Slow):
        time.sleep(0 if item % 2 else _DELAY)
    if isinstance(item, _Counted):
        with contextlib.suppress(FileNotFoundError), (Path(folder) / str(item)).open("ab") as file:
            file.write(b".")
    return item


def _slow(seconds: float) -> None:
    time.sleep(seconds)


def _failing(number: int) -> int:
    if number == 2:
        raise ValueError("this is item 2")
    return number


def _ending(number: int | None) -> int:
    if number == 2:
        os._exit(3)
    return os.getpid() if number is None else number
