"""A selection that several processes make together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, TypeVar

from torch import nn

from balenas_core.engine.processes import Processes
from balenas_core.interfaces.selection import Measure, Measured, SelectionContext
from balenas_core.runs.score_log import ScoreLog, Scores

T = TypeVar("T")

_ROUND: Final = 4
"""Candidates of each process between two exchanges: what a kill loses, and what one waits for."""


def shared_context(
    context: SelectionContext, own: Processes, scores: ScoreLog | None
) -> SelectionContext:
    """Return a context whose candidates the processes share out, and whose numbers all know.

    Every process runs the selector, and takes the same way, since it depends on the same numbers.
    What is not measured as one of many candidates, the first process computes.

    Args:
        context: Of this process alone.
        own: This process among the others.
        scores: Where the first process keeps scores; None in the others, or to keep none.
    """
    first = _First(own)
    remember, evaluate, evaluate_loss = context.remember, context.evaluate, context.evaluate_loss

    def remembered(key: str, compute: Callable[[], Mapping[str, float]]) -> Mapping[str, float]:
        return first(lambda: remember(key, compute))

    def loss(network: nn.Module) -> float:
        assert evaluate_loss is not None, "it is there"
        return first(lambda: evaluate_loss(network))

    found = _Candidates(context, own, scores, first)
    return replace(
        context,
        remember=remembered,
        execute=found.execute,
        evaluate=lambda network: first(lambda: evaluate(network)),
        evaluate_loss=None if evaluate_loss is None else loss,
    )


class _First:
    """Calls what the first process alone is to do; inside of that, it goes on alone."""

    def __init__(self, own: Processes) -> None:
        self._own = own
        self.is_alone = False

    def __call__(self, compute: Callable[[], T]) -> T:
        if self.is_alone:
            return compute()
        return self._own.of_first(lambda: self._alone(compute))

    def _alone(self, compute: Callable[[], T]) -> T:
        with self.alone():
            return compute()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Do in the block what other processes do not wait for."""
        self.is_alone = True
        try:
            yield
        finally:
            self.is_alone = False


class _Candidates:
    """Measures candidates in rounds, in each of which every process has some of its own."""

    def __init__(
        self, context: SelectionContext, own: Processes, scores: ScoreLog | None, first: _First
    ) -> None:
        self._context = context
        self._own = own
        self._scores = scores
        self._first = first

    def execute(
        self, given: SelectionContext, measure: Measure, items: Mapping[str, Any]
    ) -> Iterator[Measured]:
        """Yield what is known of each item, in their order."""
        del given  # its numbers come from all processes, and here each works alone
        known = self._first(lambda: self._known(list(items)))
        missing = [key for key in items if key not in known]
        found: dict[str, Measured] = {key: Measured(scores) for key, scores in known.items()}
        rounds = _rounds(missing, _ROUND * self._own.count)
        for key in items:
            while key not in found:
                found |= self._round(measure, {name: items[name] for name in next(rounds)})
            yield found.pop(key)

    def _known(self, keys: Sequence[str]) -> dict[str, Scores]:
        if self._scores is None:
            return {}
        known = {key: self._scores.known(key) for key in keys}
        return {key: scores for key, scores in known.items() if scores is not None}

    def _round(self, measure: Measure, items: Mapping[str, Any]) -> dict[str, Measured]:
        keys = list(items)[self._own.rank :: self._own.count]
        mine: dict[str, tuple[Measured, float]] = {}
        with self._own.together("measure its candidates"), self._first.alone():
            start = time.perf_counter()
            own_items = {key: items[key] for key in keys}
            measured = self._context.execute(self._context, measure, own_items)
            for key, one in zip(keys, measured, strict=True):
                now = time.perf_counter()
                mine[key] = one, now - start
                start = now
        every = self._own.gather(mine)
        if self._scores is not None:
            for theirs in every[1:]:  # its own are kept already
                for key, (one, seconds) in theirs.items():
                    if one.is_worth_keeping:
                        self._scores.add(key, one.scores, seconds)
        return {key: one for share in every for key, (one, _) in share.items()}


def _rounds(keys: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))
