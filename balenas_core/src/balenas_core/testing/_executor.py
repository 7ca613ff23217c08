"""Checks of executors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from balenas_core.interfaces.executor import Executor
from balenas_core.testing._plugin import PluginConformance


class ExecutorConformance(PluginConformance):
    """Every item comes back once, in order, and an error of the function is an error here."""

    kind = "executor"
    base = Executor

    def executor(self) -> Executor:
        """Build the executor."""
        executor: Executor = self.build()
        return executor

    def use(self) -> None:
        """Map once."""
        list(self.executor().map(_square, range(3)))

    def test_every_item_comes_back_in_order(self) -> None:
        executor = self.executor()
        for count in (0, 1, 2, 7, 40):
            found = list(executor.map(_square, range(count)))
            assert found == [n * n for n in range(count)], (
                f"map over {count} items must yield one result for each, in order; got {found}"
            )

    def test_items_may_come_from_a_generator(self) -> None:
        found = list(self.executor().map(_square, iter([3, 1, 2])))
        assert found == [9, 1, 4], f"map must take any iterable, in its order; got {found}"

    def test_results_of_none_are_results(self) -> None:
        found = list(self.executor().map(_nothing, [1, 2]))
        assert found == [None, None], f"a result of None is a result; got {found}"

    def test_an_error_of_the_function_is_raised(self) -> None:
        found: list[Any] = []
        try:
            found += self.executor().map(_failing, range(4))
        except ValueError as error:
            assert "item 2" in str(error), f"the error must be the function's own; got {error}"
        else:
            raise AssertionError(f"the function raised ValueError, and map yielded {found}")

    def test_it_can_map_again_after_an_error(self) -> None:
        executor = self.executor()
        with contextlib.suppress(ValueError):
            list(executor.map(_failing, range(4)))
        found = list(executor.map(_square, range(3)))
        assert found == [0, 1, 4], f"after an error, map yields {found}"

    def test_results_come_as_an_iterator(self) -> None:
        found = self.executor().map(_square, [1])
        assert isinstance(found, Iterator), f"map must return an iterator; got {found!r}"


def _square(number: int) -> int:
    return number * number


def _nothing(number: int) -> None:
    del number


def _failing(number: int) -> int:
    if number == 2:
        raise ValueError("this is item 2")
    return number
