"""A selection that several processes make together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from torch import nn

from balenas_core.engine.processes import Processes
from balenas_core.interfaces.selection import SelectionContext

T = TypeVar("T")


def by_the_first(context: SelectionContext, own: Processes) -> SelectionContext:
    """Return a context whose numbers are computed by the first process, and known to all.

    Every process runs the selector, and takes the same way, since it depends on the same numbers.
    """
    first = _First(own)
    remember, evaluate, evaluate_loss = context.remember, context.evaluate, context.evaluate_loss

    def remembered(key: str, compute: Callable[[], Mapping[str, float]]) -> Mapping[str, float]:
        return first(lambda: remember(key, compute))

    def loss(network: nn.Module) -> float:
        assert evaluate_loss is not None, "it is there"
        return first(lambda: evaluate_loss(network))

    return replace(
        context,
        remember=remembered,
        evaluate=lambda network: first(lambda: evaluate(network)),
        evaluate_loss=None if evaluate_loss is None else loss,
    )


class _First:
    """Calls what the first process alone is to do; inside of that, it goes on alone."""

    def __init__(self, own: Processes) -> None:
        self._own = own
        self._is_alone = False

    def __call__(self, compute: Callable[[], T]) -> T:
        if self._is_alone:
            return compute()
        return self._own.of_first(lambda: self._alone(compute))

    def _alone(self, compute: Callable[[], T]) -> T:
        self._is_alone = True
        try:
            return compute()
        finally:
            self._is_alone = False
