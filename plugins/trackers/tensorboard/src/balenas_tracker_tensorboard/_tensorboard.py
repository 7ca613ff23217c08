"""A search as event files for TensorBoard."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

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
from balenas_tracker_tensorboard import TensorBoardOptions


def make_tracker(options: TensorBoardOptions) -> Tracker:
    """Return the tracker."""

    def open_run(event: SearchStarted, id: str | None) -> TrackedRun:
        del id  # the directory is what identifies a run
        return _Run(event, _directory(options, event))

    return RunTracker("tensorboard", open_run, place={}, every_steps=options.every_steps)


def _directory(options: TensorBoardOptions, event: SearchStarted) -> Path:
    if options.directory is not None:
        return options.directory if event.run is None else options.directory / event.run.name
    if event.run is None:
        raise UsageError(
            "the search writes no run directory to put event files in; set the tracker's "
            "directory, or output."
        )
    return event.run / "tensorboard"


class _Run(TrackedRun):
    def __init__(self, event: SearchStarted, directory: Path) -> None:
        super().__init__(id=None)
        self._settings = flat_config(event.config)
        self._final: dict[str, float] = {}
        # Steps after a checkpoint are made again, and must not be shown twice.
        self._writer = SummaryWriter(str(directory), purge_step=event.first_step + 1)
        lines = (f"{key}: {value}" for key, value in self._settings.items())
        self._log_text("config", "\n".join(lines), event.first_step)

    def log(self, values: Mapping[str, float | str], step: int) -> None:
        """Add scalars, and texts as they are."""
        for name, value in values.items():
            if isinstance(value, str):
                self._log_text(name, value, step)
            elif name.startswith(("result/", "benchmark/")):
                self._final[name] = value
            else:
                self._writer.add_scalar(name, value, step)

    def log_selection(self, selection: Selection, step: int) -> None:
        """Add the architecture, its cells and the table of candidates as text."""
        architecture = selection.chosen.architecture
        self._log_text("selection/architecture", str(architecture), step)
        cells = "\n\n".join(cell.to_text() for cell in architecture.cells())
        self._log_text("selection/cells", cells, step)
        self._log_text("selection/candidates", _text_table(*selection.table()), step)

    def end(self, status: Status, step: int) -> None:
        """Add the settings with the final numbers, for the page HPARAMS, and close the files."""
        if status == "finished":
            # It writes the final numbers as scalars too.
            self._writer.add_hparams(self._settings, self._final, run_name=".", global_step=step)
        self._writer.add_text("status", status, step)
        self._writer.close()

    def _log_text(self, name: str, text: str, step: int) -> None:
        # TensorBoard reads Markdown, in which an indented block stands as it is.
        self._writer.add_text(name, textwrap.indent(text, "    ", lambda line: True), step)


def _text_table(columns: list[str], rows: list[list[object]]) -> str:
    """Return a table in columns of equal width."""
    cells = [columns, *([_shown(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def _shown(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
