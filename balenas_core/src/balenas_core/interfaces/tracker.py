"""Trackers: plugins that send a search's events to an experiment tracker."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from balenas_core.config.flat import flat
from balenas_core.files import write_atomically
from balenas_core.interfaces.events import (
    ArchitectureSelected,
    EpochEnded,
    Event,
    RunFinished,
    SearchFailed,
    SearchStarted,
    StepEnded,
)

if TYPE_CHECKING:
    from balenas_core.config import SearchConfig
    from balenas_core.interfaces.benchmark import BenchmarkEntry
    from balenas_core.interfaces.result import SearchResult
    from balenas_core.interfaces.selection import Selection

Status = Literal["finished", "failed", "interrupted"]
"""How a search ended."""

TRACKERS = "trackers"
"""Folder of a run directory in which trackers keep what they need to go on."""


class Tracker(ABC):
    """Receives every event of a search.

    A plugin's implementation is called as ``Tracker(options)``. A tracker that raises, there or
    later, is reported and switched off; the search goes on. It must not draw from a global
    random number generator: a search that is watched ends like one that is not.
    """

    @abstractmethod
    def handle(self, event: Event) -> None:
        """Record one event. ``SearchFailed`` may come before ``SearchStarted``."""


class TrackedRun(ABC):
    """One run in an experiment tracker, open for writing: what ``RunTracker`` writes to.

    Args:
        id: By which the tracker finds the run again; None where it needs no name for that.
    """

    def __init__(self, id: str | None) -> None:
        self.id = id

    @abstractmethod
    def log(self, values: Mapping[str, float | str], step: int) -> None:
        """Record numbers and texts at a step of the search."""

    @abstractmethod
    def log_selection(self, selection: Selection, step: int) -> None:
        """Record the chosen architecture, its drawing, and the table of candidates."""

    @abstractmethod
    def end(self, status: Status, step: int) -> None:
        """Write out what is left, record how the search ended, and close the run."""


class RunTracker(Tracker):
    """Turns the events of a search into a run of an experiment tracker.

    The steps of the search are the common axis: an epoch stands at the number of steps after it.
    A search that is resumed goes on in the same run of the tracker, whose id is kept in the run
    directory.

    Args:
        name: Name of the plugin.
        open_run: ``open_run(event, id)`` returns a run of the tracker: a new one for None, else
            the one of that id, of which steps after those of ``event`` may have been recorded.
        place: Where the tracker keeps its runs. An id is of no use in another place.
        every_steps: How many steps of the search lie between two that are recorded; 0 records
            epochs only.
    """

    def __init__(
        self,
        name: str,
        open_run: Callable[[SearchStarted, str | None], TrackedRun],
        *,
        place: Mapping[str, str | None],
        every_steps: int,
    ) -> None:
        self._name = name
        self._open_run = open_run
        self._place = dict(place)
        self._every_steps = every_steps
        self._run: TrackedRun | None = None
        self._steps_per_epoch = self._step = 0

    def handle(self, event: Event) -> None:
        """Record one event."""
        if isinstance(event, SearchStarted):
            self._start(event)
        elif self._run is None:  # the search failed before it started
            return
        elif isinstance(event, StepEnded):
            self._log_step(self._run, event)
        elif isinstance(event, EpochEnded):
            self._step = (event.epoch + 1) * self._steps_per_epoch
            self._run.log(_epoch_values(event.metrics), self._step)
        elif isinstance(event, ArchitectureSelected):
            self._run.log_selection(event.selection, self._step)
        elif isinstance(event, RunFinished):
            self._run.log(result_values(event.result), self._step)
            self._run.end("finished", self._step)
        elif isinstance(event, SearchFailed):
            self._run.end("interrupted" if event.is_interrupt else "failed", self._step)

    def _start(self, event: SearchStarted) -> None:
        self._steps_per_epoch = event.steps_per_epoch
        self._step = event.first_step
        path = event.run / TRACKERS / f"{self._name}.json" if event.run else None
        known = _read(path)
        is_here = {**known, "id": None} == {**self._place, "id": None}
        self._run = self._open_run(event, known.get("id") if is_here else None)
        if path is not None and self._run.id is not None:
            _write(path, {**self._place, "id": self._run.id})

    def _log_step(self, run: TrackedRun, event: StepEnded) -> None:
        self._step = event.epoch * self._steps_per_epoch + event.step + 1
        if self._every_steps and self._step % self._every_steps == 0:
            losses = {"train_loss": event.train_loss, "validation_loss": event.validation_loss}
            values = {f"step/{name}": loss for name, loss in losses.items() if loss is not None}
            run.log(values, self._step)


def flat_config(config: SearchConfig) -> dict[str, str | int | float | bool | None]:
    """Return dotted key -> value of a configuration; lists are JSON."""
    return {
        key: json.dumps(value) if isinstance(value, list | dict) else value
        for key, value in flat(config.model_dump(mode="json"))
    }


def result_values(result: SearchResult) -> dict[str, float | str]:
    """Return the numbers of a result by name: times, accuracy, and benchmark entries."""
    values: dict[str, float | str] = {
        f"result/{phase}_seconds": seconds for phase, seconds in result.seconds.items()
    }
    if result.validation_accuracy is not None:
        values["result/validation_accuracy"] = result.validation_accuracy
    if result.check is not None:
        values["result/check_accuracy"] = result.check.accuracy
        values["result/control_accuracy"] = result.check.control_accuracy
    for entry in result.benchmark:
        values |= _benchmark_values(entry)
    return values


def _benchmark_values(entry: BenchmarkEntry) -> dict[str, float]:
    name = f"benchmark/{entry.dataset}/{entry.metric}"
    return {
        name: entry.value,
        f"{name}/regret": entry.regret,
        f"{name}/rank": float(entry.rank),
        f"{name}/percentile": entry.percentile,
    }


def _epoch_values(metrics: Mapping[str, float | int | str | None]) -> dict[str, float | str]:
    return {
        key if key == "epoch" else f"epoch/{key}": value
        for key, value in metrics.items()
        if value is not None and key != "step"  # which is the axis
    }


def _read(path: Path | None) -> dict[str, Any]:
    if path is None or not path.exists():
        return {}
    known = json.loads(path.read_text(encoding="utf-8"))
    return known if isinstance(known, dict) else {}


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(value, indent=2) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))
