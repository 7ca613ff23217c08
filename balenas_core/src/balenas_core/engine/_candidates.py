"""The candidates of a selection, measured by the workers of its executor."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import fields, replace
from typing import Any

import torch

from balenas_core.execution import Outcome, as_done, open_workers
from balenas_core.interfaces.executor import Executor, Workers
from balenas_core.interfaces.selection import Measure, Measured, SelectionContext
from balenas_core.runs.score_log import ScoreLog

_log = logging.getLogger(__name__)


class Candidates:
    """Measures what does not depend on one another: ``SelectionContext.execute``.

    Workers know the context, with the images and the supernet. A context that ends it closes them.

    Args:
        executor: Where candidates are measured.
        scores: What is known by now; None to remember nothing.
        stop_if_asked: Called while workers work; raises where the search is to stop.
    """

    def __init__(
        self, executor: Executor, scores: ScoreLog | None, stop_if_asked: Callable[[], None]
    ) -> None:
        self._executor = executor
        self._scores = scores
        self._stop_if_asked = stop_if_asked
        self._stack = ExitStack()
        self._workers: Workers | None = None

    def __enter__(self) -> Candidates:
        return self

    def __exit__(self, *error: object) -> None:
        self._workers = None
        self._stack.close()

    def execute(
        self, context: SelectionContext, measure: Measure, items: Mapping[str, Any]
    ) -> Iterator[Measured]:
        """Yield what is known of each item, in their order."""
        found: dict[str, Measured] = {}
        keys = iter(items)
        following = next(keys, None)
        for key, measured in self._found(context, measure, items):
            found[key] = measured
            while following in found:
                yield found.pop(following)
                following = next(keys, None)

    def _found(
        self, context: SelectionContext, measure: Measure, items: Mapping[str, Any]
    ) -> Iterator[tuple[str, Measured]]:
        """Yield (key, what is known), those first that need no worker."""
        missing = []
        for key in items:
            known = None if self._scores is None else self._scores.known(key)
            if known is None:
                missing.append(key)
            else:
                yield key, Measured(known)
        if not missing:
            return
        work = ((measure, items[key]) for key in missing)
        options = self._executor.options
        for place, outcome in as_done(self.open(context), work, options, tick=self._stop_if_asked):
            yield missing[place], self._measured(missing[place], outcome)

    def _measured(self, key: str, outcome: Outcome[Measured]) -> Measured:
        if outcome.value is None:
            reason = f"{type(outcome.error).__name__}: {outcome.error}"
            _log.warning("%s failed for good: %s", key, reason)
            _log.debug("where it failed", exc_info=outcome.error)
            return Measured({}, failure=reason)
        if self._scores is not None and outcome.value.is_worth_keeping:
            self._scores.add(key, outcome.value.scores, outcome.seconds)
        return outcome.value

    def open(self, context: SelectionContext) -> Workers:
        """Return the workers, who know the context from now on.

        Raises:
            BalenasError: There are none to be had.
        """
        if self._workers is None:
            self._workers = self._stack.enter_context(
                open_workers(self._executor, _Measurer(context))
            )
        return self._workers


class _Measurer:
    """What a worker does: it measures an item in the context of the selection."""

    def __init__(self, context: SelectionContext) -> None:
        self._context = context

    def __getstate__(self) -> dict[str, SelectionContext]:
        # What belongs to the selection itself stays with it.
        defaults = {name: _DEFAULTS[name] for name in ("remember", "execute", "seconds")}
        return {
            "_context": replace(
                self._context, report=_nothing, generator=torch.Generator(), **defaults
            )
        }

    def __call__(self, item: tuple[Measure, Any]) -> Measured:
        measure, candidate = item
        return measure(candidate, self._context)


_DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(SelectionContext)}


def _nothing(done: int, total: int) -> None:
    del done, total
