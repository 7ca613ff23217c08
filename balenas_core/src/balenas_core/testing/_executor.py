"""Checks of executors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any

from balenas_core.execution import Outcome, in_order, open_workers
from balenas_core.interfaces.executor import Executor, Workers
from balenas_core.testing._plugin import PluginConformance

_TIMEOUT = 120.0
"""Seconds after which a future that nobody has answered is lost."""


class ExecutorConformance(PluginConformance):
    """Every item is answered once, and an error of the work is the work's alone."""

    kind = "executor"
    base = Executor

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

    def outcomes(self, work: Callable[[int], Any], items: Iterable[int]) -> list[Outcome[Any]]:
        """Let the executor's workers do a piece of work for every item, as the engine does."""
        with self.executor() as executor:
            executor.check()
            with open_workers(executor, work) as workers:
                return list(in_order(workers, items, executor.options))

    def test_every_item_comes_back_once_in_order(self) -> None:
        for count in (0, 1, 2, 7, 40):
            found = [outcome.value for outcome in self.outcomes(_square, range(count))]
            assert found == [n * n for n in range(count)], (
                f"workers must answer each of {count} items once; got {found}"
            )

    def test_results_of_none_are_results(self) -> None:
        found = self.outcomes(_nothing, [1, 2])
        assert all(o.error is None for o in found), f"a result of None is a result; got {found}"

    def test_an_error_of_the_work_is_that_item_s_alone(self) -> None:
        found = self.outcomes(_failing, range(4))
        assert [o.error is None for o in found] == [True, True, False, True], (
            f"the work raised for item 2 alone, and outcomes are {found}"
        )
        assert "this is item 2" in str(found[2].error), (
            f"the error must be the work's own; got {found[2].error!r}"
        )

    def test_it_opens_workers_again_after_an_error(self) -> None:
        with self.executor() as executor:
            for work in (_failing, _square):
                with open_workers(executor, work) as workers:
                    found = [o.value for o in in_order(workers, range(4), executor.options)]
        assert found == [0, 1, 4, 9], f"after an error of other work, workers answer {found}"

    def test_workers_say_how_many_they_are(self) -> None:
        with self.executor() as executor, executor.open(_square) as workers:
            assert isinstance(workers, Workers), f"open() must return Workers; got {workers!r}"
            answer = workers.submit(3)
            assert isinstance(answer, Future), f"submit() must return a Future; got {answer!r}"
            found = answer.result(timeout=_TIMEOUT)
            assert found == 9, f"a worker calls the work with the item, 3; it answered {found}"
            assert workers.count >= 1, f"count must be at least 1; got {workers.count}"

    def test_closing_twice_is_no_error(self) -> None:
        with self.executor() as executor:
            workers = executor.open(_square)
            workers.close()
            workers.close()
            executor.close()


def _square(number: int) -> int:
    return number * number


def _nothing(number: int) -> None:
    del number


def _failing(number: int) -> int:
    if number == 2:
        raise ValueError("this is item 2")
    return number
