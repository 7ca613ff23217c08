"""Mistakes of trackers, planted one at a time: the kit finds each and says what to mend."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from planted import assert_found, faults, held_against

from balenas_core.interfaces.events import (
    ArchitectureSelected,
    EpochEnded,
    PriorFormed,
    RunFinished,
    SearchFailed,
    SearchStarted,
    SelectionProgress,
    StepEnded,
)
from balenas_core.interfaces.tracker import Tracker
from balenas_core.testing import TrackerConformance

KIT = TrackerConformance
OPEN: dict[str, object] = {}


class Good(Tracker):
    """Appends lines of JSON to a file in the current directory."""

    def handle(self, event):
        self.before(event)
        if isinstance(event, SearchStarted):
            self.write(kind="started", run=str(event.run), first=event.first_step)
        elif isinstance(event, EpochEnded):
            self.write(kind="epoch", **self.numbers(event.metrics))
        elif isinstance(event, ArchitectureSelected):
            self.write(kind="chosen", what=str(event.selection.chosen.architecture))
        elif isinstance(event, RunFinished):
            self.write(kind="finished", seconds=dict(event.result.seconds))
        elif isinstance(event, SearchFailed):
            self.write(kind="failed", why=str(event.error))

    def before(self, event):
        pass

    def numbers(self, metrics):
        return metrics

    def write(self, **values):
        with Path("record.jsonl").open("a") as file:
            file.write(json.dumps(values) + "\n")


def at(kind, body):
    """Return the good tracker that does something with an event of a kind, and first of all."""

    class Planted(Good):
        def before(self, event):
            if isinstance(event, kind):
                body(self, event)

    return Planted


def numbers(rule):
    """Return the good tracker that makes something of metrics."""
    return type("Planted", (Good,), {"numbers": lambda self, metrics: rule(metrics)})


class Truncates(Good):
    """Opens the file anew for each search."""

    def before(self, event):
        if isinstance(event, SearchStarted):
            Path("record.jsonl").write_text("")


class Buffers(Good):
    """Keeps its file open and writes it out when it is collected."""

    file = None

    def write(self, **values):
        if self.file is None:
            self.file = Path("record.jsonl").open("a", buffering=1 << 20)  # noqa: SIM115
        self.file.write(json.dumps(values) + "\n")

    def __del__(self):
        if self.file is not None:
            self.file.close()


class OneFileForAll(Good):
    """Opens a file once in a process."""

    def write(self, **values):
        path = OPEN.setdefault("path", Path("record.jsonl").absolute())
        with path.open("a") as file:
            file.write(json.dumps(values) + "\n")


class NeedsStart(Good):
    """Has a file from the first event on."""

    def before(self, event):
        if isinstance(event, SearchStarted):
            self.begun = time.perf_counter()
        elif isinstance(event, SearchFailed):
            self.write(kind="took", seconds=time.perf_counter() - self.begun)


class ByKind(Good):
    """Knows the events of its day."""

    KNOWN = (
        SearchStarted, StepEnded, EpochEnded, SelectionProgress, ArchitectureSelected, SearchFailed,
        RunFinished,
    )  # fmt: skip

    def before(self, event):
        if type(event) not in self.KNOWN:
            raise ValueError(f"what is {event!r}?")


class InsideOfTheRun(Good):
    """Takes the run's own file."""

    def before(self, event):
        if isinstance(event, EpochEnded) and self.run is not None:
            (self.run / "metrics.jsonl").write_text(json.dumps({"mine": 1}) + "\n")
        if isinstance(event, SearchStarted):
            self.run = event.run

    run = None


def _thread(tracker, event):
    threading.Thread(target=time.sleep, args=(4,)).start()


def _raise(tracker, event):
    raise event.error


def _scores(tracker, event):
    event.selection.candidates[0].scores["mine"] = 1.0


def _result(tracker, event):
    event.result.metrics[0]["mine"] = 1.0


STATE = "test_leaves_the_process_as_it_was"
LEFT = "test_it_leaves_events_alone"
UNKNOWN = "test_unknown_losses_and_numbers_are_no_error"
MISTAKES = {
    "overwrites when a search goes on": (
        Truncates,
        "test_what_was_recorded_before_an_interruption_is_kept",
        "Open files to append",
    ),
    "writes at the end of the process": (
        Buffers, "test_everything_is_written_when_the_search_ends", "flush or close",
    ),
    "one file for all searches of a process": (
        OneFileForAll, "test_two_searches_are_recorded_apart", "keep nothing from one search",
    ),
    "fails where the search has not begun": (
        NeedsStart, "test_a_failure_before_the_start_is_no_error", "AttributeError|begun",
    ),
    "needs a directory": (
        at(SearchStarted, lambda t, e: (e.run / "x")),
        "test_a_search_without_a_directory_is_tracked",
        "SearchStarted.run is None",
    ),
    "an event that it does not know": (
        ByKind, "test_every_event_is_handled", "PriorFormed",
    ),
    "a loss that is unknown": (
        at(StepEnded, lambda t, e: float(e.validation_loss)), UNKNOWN, "float",
    ),
    "a metric that is unknown": (
        numbers(lambda metrics: {key: float(value) for key, value in metrics.items()}),
        UNKNOWN,
        "float",
    ),
    "an accuracy that is unknown": (
        at(RunFinished, lambda t, e: f"{e.result.validation_accuracy:.1f}"), UNKNOWN, "format",
    ),
    "a check that was not made": (
        at(RunFinished, lambda t, e: e.result.check.accuracy),
        "test_a_search_that_is_tracked_ends_like_one_that_is_not",
        "'NoneType' object",
    ),
    "one metric alone": (
        numbers(lambda metrics: {"accuracy": metrics["accuracy"]}),
        "test_a_search_that_is_tracked_ends_like_one_that_is_not",
        "KeyError",
    ),
    "changes metrics": (
        at(EpochEnded, lambda t, e: e.metrics.update(mine=1)), LEFT, "work on copies",
    ),
    "changes scores": (at(ArchitectureSelected, _scores), LEFT, "work on copies"),
    "changes the result": (at(RunFinished, _result), LEFT, "work on copies"),
    "writes into the run's own files": (
        InsideOfTheRun, "test_it_leaves_the_files_of_the_run_alone", "metrics.jsonl",
    ),
    "removes the run's own files": (
        at(SearchStarted, lambda t, e: e.run and (e.run / "config.yaml").unlink(missing_ok=True)),
        "test_it_leaves_the_files_of_the_run_alone",
        "config.yaml",
    ),
    "a configuration that is no JSON": (
        at(SearchStarted, lambda t, e: json.dumps(e.config)),
        "test_a_search_without_a_directory_is_tracked",
        "not JSON serializable",
    ),
    "raises the error that it is told": (
        at(SearchFailed, _raise), "test_a_search_that_fails_or_is_stopped_is_no_error", "it broke",
    ),
    "ends the process": (
        at(RunFinished, lambda t, e: sys.exit(0)),
        "test_a_search_that_is_tracked_ends_like_one_that_is_not",
        "switched off",
    ),
    "torch's random numbers": (at(StepEnded, lambda t, e: torch.rand(1)), STATE, "torch's global"),
    "numpy's random numbers": (
        at(EpochEnded, lambda t, e: np.random.rand()), STATE, "numpy's global",  # noqa: NPY002
    ),
    "Python's random numbers": (
        at(SearchStarted, lambda t, e: random.random()), STATE, "Python's global",
    ),
    "prints": (at(EpochEnded, lambda t, e: sys.stdout.write(str(e.epoch))), STATE, "print nothing"),
    "another directory": (
        at(SearchStarted, lambda t, e: os.chdir("/")), STATE, "working directory",
    ),
    "an environment variable": (
        at(SearchStarted, lambda t, e: os.environ.update(PLANTED="1")), STATE, "PLANTED",
    ),
    "a handler of signals": (
        at(SearchStarted, lambda t, e: signal.signal(signal.SIGTERM, signal.SIG_IGN)),
        STATE,
        "SIGTERM",
    ),
    "a thread that stays": (at(RunFinished, _thread), STATE, "threads"),
    "waits in every step": (
        at(StepEnded, lambda t, e: time.sleep(0.15)),
        "test_a_step_is_not_held_up",
        "in the background",
    ),
    "not a tracker": (
        lambda: print, "test_a_failure_before_the_start_is_no_error", "Tracker",
    ),
    "nothing that handles": (
        type("Silent", (Tracker,), {}),
        "test_a_failure_before_the_start_is_no_error",
        "abstract",
    ),
}  # fmt: skip


def test_a_good_tracker_passes(tmp_path):
    assert faults(held_against(KIT, Good), tmp_path) == {}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_and_explained(mistake, tmp_path):
    OPEN.clear()
    implementation, *expected = MISTAKES[mistake]
    assert_found(held_against(KIT, implementation), *expected, tmp_path)


def test_an_unknown_event_is_one_that_is_there():
    assert PriorFormed not in ByKind.KNOWN
