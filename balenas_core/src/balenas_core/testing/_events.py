"""Events as plain values, and those that a small search does not send by itself."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from balenas_core.interfaces.events import (
    ArchitectureSelected,
    EpochEnded,
    Event,
    PriorFormed,
    RunFinished,
    SearchStarted,
    SelectionProgress,
    StepEnded,
)
from balenas_core.interfaces.selection import Selection


def plain(event: Event) -> Any:
    """Return all that can be changed in an event."""
    if isinstance(event, EpochEnded):
        return copy.deepcopy(dict(event.metrics))
    if isinstance(event, SearchStarted):
        return event.config.model_dump(mode="json")
    if isinstance(event, ArchitectureSelected):
        return _plain_selection(event.selection)
    if isinstance(event, RunFinished):
        result = event.result
        return (
            _plain_selection(result.selection),
            copy.deepcopy([dict(line) for line in result.metrics]),
            dict(result.seconds),
        )
    return repr(event)


def _plain_selection(selection: Selection) -> Any:
    return [
        (str(c.architecture), c.rank, dict(c.scores), dict(c.costs), c.is_argmax, c.draws)
        for c in selection.candidates
    ]


def with_unknowns(events: Sequence[Event]) -> list[Event]:
    """Return the events of a search in which numbers are unknown, and nothing is written."""
    return [_unknown(event) for event in events]


def _unknown(event: Event) -> Event:
    if isinstance(event, SearchStarted):
        return replace(event, run=None)
    if isinstance(event, StepEnded):
        return replace(event, validation_loss=None)
    if isinstance(event, EpochEnded):
        unknown = dict.fromkeys(("validation_loss", "validation_accuracy"), None)
        return replace(event, metrics={**event.metrics, **unknown, "new": None, "text": "here"})
    if isinstance(event, RunFinished):
        return RunFinished(replace(event.result, validation_accuracy=None, run=None))
    return event


def with_all_kinds(events: Sequence[Event]) -> list[Event]:
    """Return the events of a search that has an informed prior and a check as well."""
    started = next(i for i, e in enumerate(events) if isinstance(e, SearchStarted)) + 1
    prior: list[Event] = [
        SelectionProgress(0, 0, "prior"),
        SelectionProgress(8, 8, "prior"),
        PriorFormed(8, 1, 0.5, (("operations/conv", 0.7),), 0.1),
    ]
    checked: list[Event] = [SelectionProgress(1, 2, "check")]
    return [*events[:started], *prior, *events[started:-1], *checked, *events[-1:]]
