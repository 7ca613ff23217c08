"""What a training tells its listeners.

``TrainingStarted``, then ``StepEnded`` and ``EpochEnded`` of ``balenas_core.interfaces.events``, as
in a search.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from balenas_core.interfaces.events import EpochEnded, StepEnded


@dataclass(frozen=True, slots=True)
class TrainingStarted:
    """Before the first step. ``run`` is None when nothing is written.

    A resumed training has ``epochs_done`` whole epochs behind it, for which there are no events.
    """

    run: Path | None
    epochs: int
    steps_per_epoch: int
    epochs_done: int


Event = TrainingStarted | StepEnded | EpochEnded
Listener = Callable[[Event], None]
