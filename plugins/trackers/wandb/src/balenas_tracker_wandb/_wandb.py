"""A search as a run of a library that has the interface of Weights & Biases."""

from __future__ import annotations

import importlib
import re
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from balenas_core.drawing import draw_architecture
from balenas_core.errors import UsageError
from balenas_core.interfaces.events import SearchStarted
from balenas_core.interfaces.selection import Selection
from balenas_core.interfaces.tracker import (
    RunTracker,
    Status,
    TrackedRun,
    Tracker,
    flat_config,
)
from balenas_tracker_wandb import WandbOptions

_EXIT_CODES: Mapping[Status, int] = {"finished": 0, "failed": 1, "interrupted": 255}


def make_tracker(options: WandbOptions) -> Tracker:
    """Return the tracker.

    Raises:
        UsageError: The library is not installed.
    """
    name = options.module
    try:
        library = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{error.name} is not installed; install it with "
            f"'pip install \"balenas-tracker-wandb[{name}]\"'."
        ) from error

    def open_run(event: SearchStarted, id: str | None) -> TrackedRun:
        id = id or _new_id(event)
        arguments = {
            "project": options.project,
            "config": flat_config(event.config),
            "resume": "allow",
            # trackio finds a run again by its name.
            **({"name": id} if name == "trackio" else _wandb_arguments(library, id, event)),
            **options.init,
        }
        with _own_hooks():
            return _Run(id, library, library.init(**arguments))

    place = {"module": name, "project": options.project}
    return RunTracker("wandb", open_run, place=place, every_steps=options.every_steps)


@contextmanager
def _own_hooks() -> Iterator[None]:
    """Leave to the program what it does with exceptions and exits: wandb puts hooks of its own."""
    before = sys.excepthook, sys.exit
    try:
        yield
    finally:
        sys.excepthook, sys.exit = before


def _new_id(event: SearchStarted) -> str:
    name = re.sub(r"[^\w-]+", "-", event.run.name)[:100] if event.run else "search"
    return f"{name}-{uuid.uuid4().hex[:8]}"


def _wandb_arguments(library: Any, id: str, event: SearchStarted) -> dict[str, Any]:
    return {
        "id": id,
        "name": event.run.name if event.run else None,
        # Whoever calls the search may have a run of their own.
        "reinit": "create_new",
        # What the program prints is its own: capturing it breaks progress bars.
        "settings": library.Settings(console="off"),
    }


class _Run(TrackedRun):
    def __init__(self, id: str, library: Any, run: Any) -> None:
        super().__init__(id)
        self._library = library
        self._run = run

    def log(self, values: Mapping[str, float | str], step: int) -> None:
        """Log numbers and texts."""
        self._run.log(dict(values), step=step)

    def log_selection(self, selection: Selection, step: int) -> None:
        """Log the architecture, its drawing and the table of candidates."""
        architecture = selection.chosen.architecture
        drawing = draw_architecture(architecture, is_file=True)
        columns, rows = selection.table()
        values = {
            "selection/architecture": str(architecture),
            "selection/cells": self._library.Html(drawing, data_is_not_path=True),
            "selection/candidates": self._library.Table(columns=columns, data=rows),
        }
        self._run.log(values, step=step)

    def end(self, status: Status, step: int) -> None:
        """Log the status and finish the run."""
        self._run.log({"status": status}, step=step)
        if self._library.__name__ == "wandb":
            self._run.finish(exit_code=_EXIT_CODES[status])
        else:
            self._run.finish()
