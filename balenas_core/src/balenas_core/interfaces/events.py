"""What a search tells its listeners, in this order.

``SearchStarted``, ``SelectionProgress`` of an informed prior and ``PriorFormed``, if the search
has one and begins, then for every epoch ``StepEnded`` many times and ``EpochEnded`` once,
``SelectionProgress``, ``ArchitectureSelected``, ``SelectionProgress`` of the check,
``RunFinished``; or ``SearchFailed`` at any
point, even before ``SearchStarted`` where a run cannot go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from balenas_core.config import SearchConfig
    from balenas_core.interfaces.result import SearchResult
    from balenas_core.interfaces.selection import Selection


@dataclass(frozen=True, slots=True)
class SearchStarted:
    """Before the first step. ``run`` is None when nothing is written.

    A resumed search has ``epochs_done`` whole epochs and ``steps_done`` steps of the next one
    behind it, for which there are no events.
    """

    config: SearchConfig
    run: Path | None
    epochs: int
    steps_per_epoch: int
    epochs_done: int = 0
    steps_done: int = 0

    @property
    def first_step(self) -> int:
        """Steps behind it, of all epochs."""
        return self.epochs_done * self.steps_per_epoch + self.steps_done


@dataclass(frozen=True, slots=True)
class PriorFormed:
    """When proxies have scored architectures, and the logits have their means from them.

    ``unconnected`` of the ``architectures`` do not depend on the image; ``explained`` is the share
    of the scores' variance that effects of single choices account for among random ones, those
    of the first round. ``strongest`` are the choices of the largest effects, in standard
    deviations, largest first.
    """

    architectures: int
    unconnected: int
    explained: float
    strongest: tuple[tuple[str, float], ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class StepEnded:
    """After one architecture step and one weight step."""

    epoch: int
    step: int
    train_loss: float
    validation_loss: float | None


@dataclass(frozen=True, slots=True)
class EpochEnded:
    """After an epoch; ``metrics`` is the line written to ``metrics.jsonl``."""

    epoch: int
    metrics: Mapping[str, float | int | str | None]


@dataclass(frozen=True, slots=True)
class SelectionProgress:
    """While candidates are scored; then while the choice and its control are trained.

    ``phase`` is ``"selection"``, which counts what the selector likes, or ``"check"``, which
    counts epochs; before the first step it is ``"prior"``, which counts architectures.
    """

    done: int
    total: int
    phase: str = "selection"


@dataclass(frozen=True, slots=True)
class ArchitectureSelected:
    """When the final architecture is chosen."""

    selection: Selection


@dataclass(frozen=True, slots=True)
class SearchFailed:
    """When the search ends by an error or an interrupt."""

    error: BaseException

    @property
    def is_interrupt(self) -> bool:
        """Whether it was stopped, by a signal or on request, and nothing went wrong."""
        return isinstance(self.error, KeyboardInterrupt | SystemExit)


@dataclass(frozen=True, slots=True)
class RunFinished:
    """Last, with everything that was found."""

    result: SearchResult


Event = (
    SearchStarted
    | PriorFormed
    | StepEnded
    | EpochEnded
    | SelectionProgress
    | ArchitectureSelected
    | SearchFailed
    | RunFinished
)
Listener = Callable[[Event], None]


def detached(event: Event) -> Event:
    """Return an event of which nothing is the search's own.

    Everybody who is told of it gets one: what a plugin changes in it changes no result.
    """
    if isinstance(event, SearchStarted):
        return replace(event, config=event.config.model_copy(deep=True))
    if isinstance(event, EpochEnded):
        return replace(event, metrics=dict(event.metrics))
    if isinstance(event, ArchitectureSelected):
        return replace(event, selection=_copied(event.selection))
    if isinstance(event, RunFinished):
        result = event.result
        return RunFinished(
            replace(
                result,
                selection=_copied(result.selection),
                metrics=tuple(map(dict, result.metrics)),
                seconds=dict(result.seconds),
            )
        )
    return event


def _copied(selection: Selection) -> Selection:
    candidates = (
        replace(one, scores=dict(one.scores), costs=dict(one.costs)) for one in selection.candidates
    )
    return replace(selection, candidates=tuple(candidates))
