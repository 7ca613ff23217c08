"""Runs that are being watched, as a display, as lines of text and as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from balenas_cli.tables.run_rows import duration_text, place_text
from balenas_core.files import one_line
from balenas_core.runs.listing import ACTIVE, DONE, RUNNING, RunInfo

if TYPE_CHECKING:
    from rich.console import RenderableType

_NUMBERS: Final = {
    "train_loss": ("train loss", ".4f"),
    "train_accuracy": ("train", ".1f"),
    "validation_loss": ("validation loss", ".4f"),
    "validation_accuracy": ("validation", ".1f"),
    "test_accuracy": ("test", ".1f"),
    "entropy": ("entropy", ".3f"),
    "sigma_mean": ("mean sigma", ".3f"),
}
_BAR: Final = 24
_FURNITURE: Final = 4
"""Lines of a terminal that are no runs: the heading, the rest, and the prompt."""


def facts(run: RunInfo) -> dict[str, Any]:
    """Return how a run stands as plain data."""
    beat = run.beat
    return {
        "path": str(run.path),
        "status": run.status,
        "epochs_done": run.epochs_done,
        "epochs": run.epochs,
        "phase": beat.phase if beat else None,
        "done": beat.done if beat else None,
        "total": beat.total if beat else None,
        "silent_seconds": _silence(run),
        "left_seconds": left(run),
        "message": run.message,
        "values": run.values,
    }


def line(run: RunInfo, folder: Path) -> str:
    """Return how a run stands as one line of text."""
    parts = [f"{datetime.now():%H:%M:%S}", _name(run, folder), run.status]
    if run.status != DONE and run.beat is not None:
        parts.append(place_text(run.beat))
    parts.append(f"epoch {run.epochs_done}/{run.epochs if run.epochs is not None else '?'}")
    parts += [f"{label} {text}" for label, text in _numbers(run)]
    silence, remaining = _silence(run), left(run)
    if run.status in ACTIVE and run.status != RUNNING and silence is not None:
        parts.append(f"silent for {duration_text(silence)}")
    elif remaining is not None:
        parts.append(f"{duration_text(remaining)} left")
    if run.status not in (*ACTIVE, DONE) and run.message:
        parts.append(run.message)
    return one_line("  ".join(parts))


def left(run: RunInfo) -> float | None:
    """Return the seconds that the epochs to come take, if they take as long as the last one."""
    beat, seconds, epochs = run.beat, run.metrics.get("seconds"), run.epochs
    if run.status != RUNNING or beat is None or not (beat.total and epochs and seconds):
        return None
    if beat.phase not in ("search", "training"):
        return None
    return float(seconds) * epochs * (1 - beat.done / beat.total)


def display(runs: Sequence[RunInfo], folder: Path, *, height: int) -> RenderableType:
    """Return what a terminal shows of runs.

    Args:
        runs: All of them.
        folder: Where they lie.
        height: Lines of the terminal; what goes on comes first where not all have room.
    """
    from rich.console import Group
    from rich.text import Text

    if len(runs) == 1:
        return _single(runs[0])
    room = max(1, height - _FURNITURE)
    shown = list(runs)
    if len(runs) > room:  # the runs are in the order of their beginning
        first = [run for run in runs if run.status in ACTIVE]
        others = [run for run in runs if run.status not in ACTIVE]
        shown = (first + others[::-1])[:room]
    counts: dict[str, int] = {}
    for run in runs:
        counts[run.status] = counts.get(run.status, 0) + 1
    summary = ", ".join(f"{number} {status}" for status, number in counts.items())
    hidden = f"; {len(runs) - len(shown)} not shown" if len(shown) < len(runs) else ""
    return Group(_table(shown, folder), Text(f"{summary or 'no runs'}{hidden}"))


def _table(runs: Sequence[RunInfo], folder: Path) -> RenderableType:
    from rich.text import Text

    from balenas_cli.shell.console import table

    made = table("run", "status", "", "at", "validation", "left", right=("validation", "left"))
    for run in runs:
        accuracy = run.metrics.get("validation_accuracy", run.metrics.get("test_accuracy"))
        remaining = left(run)
        made.add_row(
            Text(_name(run, folder), overflow="ellipsis", no_wrap=True),
            _status(run),
            _bar(run),
            Text(place_text(run.beat) if run.beat and run.status != DONE else ""),
            "" if accuracy is None else f"{accuracy:.2f} %",
            "" if remaining is None else duration_text(remaining),
        )
    return made


def _single(run: RunInfo) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    who = f" ({run.holder})" if run.holder else ""
    status = _status(run)
    grid.add_row(Text("run", style="bold"), Text(str(run.path), overflow="fold"))
    grid.add_row(Text("status", style="bold"), status.append(who, style="none"))
    if run.beat is not None and run.status != DONE:
        place = Table.grid(padding=(0, 2))
        remaining = left(run)
        told = "" if remaining is None else f"{duration_text(remaining)} left"
        place.add_row(_bar(run), place_text(run.beat), told)
        grid.add_row(Text("at", style="bold"), place)
    silence = _silence(run)
    if silence is not None:
        grid.add_row(Text("last sign", style="bold"), f"{duration_text(silence)} ago")
    grid.add_row(Text("epochs", style="bold"), f"{run.epochs_done} of {run.epochs or '?'}")
    for label, text in _numbers(run):
        grid.add_row(Text(label, style="bold"), text)
    architecture = (run.result or run.metrics).get("architecture")
    if architecture:
        name = "chosen" if run.result else "now"
        grid.add_row(Text(name, style="bold"), Text(str(architecture), overflow="fold"))
    if run.message and run.status not in (*ACTIVE, DONE):
        grid.add_row(Text("because", style="bold"), Text(run.message, overflow="fold"))
    return grid


def _status(run: RunInfo) -> Any:
    from rich.text import Text

    colour = "green" if run.status in (DONE, RUNNING) else "yellow"
    return Text(run.status, style=colour if run.status != "failed" else "red")


def _bar(run: RunInfo) -> RenderableType:
    from rich.progress_bar import ProgressBar

    beat = run.beat
    if run.status == DONE:
        return ProgressBar(1, 1, width=_BAR)
    if beat is None or not beat.total:
        return ProgressBar(1, 0, width=_BAR)
    return ProgressBar(beat.total, min(beat.done, beat.total), width=_BAR)


def _numbers(run: RunInfo) -> list[tuple[str, str]]:
    found = []
    for key, (label, form) in _NUMBERS.items():
        value = run.metrics.get(key)
        if isinstance(value, int | float):
            unit = " %" if key.endswith("accuracy") else ""
            found.append((label, f"{value:{form}}{unit}"))
    return found


def _silence(run: RunInfo) -> float | None:
    if run.beat is None or run.status == DONE:
        return None
    return round(run.beat.age(datetime.now().astimezone()), 1)


def _name(run: RunInfo, folder: Path) -> str:
    """Return how a run is called in a folder; its own name where it is what is watched."""
    if run.path == folder or not run.path.is_relative_to(folder):
        return str(run.path)
    return str(run.path.relative_to(folder))
