"""What every checkpoint of a run must hold, beside what a search or a training adds."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any

from pydantic import Field

from balenas_core.runs.epoch_log import records
from balenas_core.runs.stored import Count, Stored, StoredConfig, checked

Sums = Annotated[list[float], Field(min_length=3, max_length=3)]


class SavedPlace(Stored):
    """Where the work is."""

    epochs_done: Count
    steps_done: Count
    step: Count
    train: Sums
    validation: Sums


class SavedLogs(Stored):
    """The content of the files of lines, for the whole epochs."""

    metrics: str
    distribution: str


class SavedState(Stored):
    """The keys that searches and trainings share."""

    config: StoredConfig
    place: SavedPlace
    seconds: dict[str, float]
    loop: dict[str, Any]
    logs: SavedLogs


def check_saved(state: dict[str, Any], keys: Collection[str]) -> None:
    """Check that a state is one that work can go on from, as far as plain data tells.

    Args:
        state: Content of a checkpoint.
        keys: What it must have beside the shared keys.

    Raises:
        ValueError: It is not; the message says why.
    """
    checked(state, SavedState)
    missing = sorted(set(keys) - state.keys())
    if missing:
        raise ValueError(f"{', '.join(missing)}: field required")
    lines, epochs = len(records(state["logs"]["metrics"].encode())), state["place"]["epochs_done"]
    if lines != epochs:
        raise ValueError(f"logs.metrics: it has {lines} lines, for {epochs} epochs")
