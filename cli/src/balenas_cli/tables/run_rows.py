"""Runs as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balenas_cli.shell.run_names import resume_command, watch_command
from balenas_core.errors import UsageError
from balenas_core.files import one_line
from balenas_core.plugins.suggest import did_you_mean
from balenas_core.runs.listing import (
    ACTIVE,
    DAMAGED,
    DONE,
    LOST,
    STALLED,
    STATUSES,
    RunInfo,
    find_runs,
)
from balenas_core.runs.removal import size_of

if TYPE_CHECKING:
    from rich.console import RenderableType

    from balenas_core.runs.heartbeat import Beat


def matching(folder: Path, *, status: str | None, filters: Iterable[str]) -> list[RunInfo]:
    """Return the runs in a folder that have a status and settings.

    Raises:
        UsageError: There is no such folder or status, a filter is not KEY=VALUE, or no run has
            its key.
    """
    if not folder.is_dir():
        raise UsageError(
            f"there is no folder {folder}; 'balenas search' makes it with the first run, or "
            f"name another with --folder."
        )
    if status is not None and status not in STATUSES:
        raise UsageError(f"--status must be one of {', '.join(STATUSES)} (got {status!r}).")
    wanted = [_parsed(text) for text in filters]
    runs = find_runs(folder)
    known = {key for run in runs for key in _keys(run.config)} if wanted else set()
    for key, _ in wanted:
        if runs and key not in known:
            raise UsageError(
                f"--filter: no run has a setting {key!r}.{did_you_mean(key, sorted(known))} "
                f"'balenas runs show RUN --json' lists them."
            )
    accepts = [_setting(key, value) for key, value in wanted]
    return [
        run
        for run in runs
        if status in (None, run.status) and all(accept(run) for accept in accepts)
    ]


def _parsed(text: str) -> tuple[str, str]:
    key, equals, wanted = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--filter must be KEY=VALUE, such as space=nb201 (got {text!r}).")
    return key, wanted


def _setting(key: str, wanted: str) -> Callable[[RunInfo], bool]:
    return lambda run: _is(run.setting(key), wanted)


def _keys(config: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for key, value in config.items():
        yield f"{above}{key}"
        if isinstance(value, Mapping):
            yield from _keys(value, f"{above}{key}.")


def _is(value: Any, wanted: str) -> bool:
    if isinstance(value, bool) or value is None:
        return wanted == {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int | float):
        try:
            return float(wanted) == value
        except ValueError:
            return False
    return str(value) == wanted


def sorted_by(runs: list[RunInfo], name: str | None, *, descending: bool) -> list[RunInfo]:
    """Return runs in the order of a number, those without it last; by date for None.

    Raises:
        UsageError: No run has such a number.
    """
    if name is None:
        return runs[::-1] if descending else runs
    values = {run.path: run.values for run in runs}
    known = sorted({key for one in values.values() for key in one})
    if runs and name not in known:
        raise UsageError(
            f"no run has a number {name!r}.{did_you_mean(name, known)} Known: {', '.join(known)}."
        )
    having = [run for run in runs if name in values[run.path]]
    having.sort(key=lambda run: values[run.path][name], reverse=descending)
    return having + [run for run in runs if name not in values[run.path]]


def listing(runs: Sequence[RunInfo], folder: Path, metric: str | None) -> str:
    """Return one line of text for every run, under a heading.

    Plain text: thousands of rows of a rich table take seconds.
    """
    if not runs:
        return "no runs"
    metrics = list(dict.fromkeys(["inherited_accuracy", *([metric] if metric else [])]))
    rows = [["run", "status", "space", "optimizer", "selector", "seed", "epochs", *metrics]]
    for run in runs:
        values = run.values
        rows.append(
            [
                _name(run.path, folder),
                run.status,
                *(_text(run.setting(key)) for key in ("space", "optimizer", "selector", "seed")),
                f"{run.epochs_done}/{_text(run.epochs)}",
                *(f"{values[name]:.6g}" if name in values else "-" for name in metrics),
            ]
        )
    rows = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    first_number = len(rows[0]) - len(metrics)
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column >= first_number else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _name(path: Path, folder: Path) -> str:
    relative = path.relative_to(folder)
    return str(path if relative == Path() else relative)


def _text(value: Any) -> str:
    return "-" if value is None else str(value)


def plain(run: RunInfo) -> dict[str, Any]:
    """Return everything about a run as plain data."""
    return {
        **run.to_dict(),
        "holder": str(run.holder) if run.holder else None,
        "metrics": dict(run.metrics),
        "result": run.result,
        "selections": dict(run.selections),
        "training": dict(run.training),
        "checkpoints": [path.name for path in run.checkpoints],
        "bytes": size_of(run.path),
    }


def details(run: RunInfo) -> RenderableType:
    """Return what is known of a run, for a terminal."""
    from rich.table import Table
    from rich.text import Text

    facts = {
        "run": str(run.path),
        "status": f"{run.status} ({run.holder})" if run.holder else run.status,
        "because": run.message if run.status not in (*ACTIVE, DONE, LOST, DAMAGED) else None,
        "damage": "\n".join(run.problems),
        "search": " + ".join(
            _text(run.setting(key))
            for key in ("space", "distribution", "optimizer", "selector", "data")
        ),
        "seed": _text(run.setting("seed")),
        "epochs": f"{run.epochs_done} of {_text(run.epochs)}",
        "last sign": _last_sign(run),
        "started": run.created,
        "changed": run.updated,
        "architecture": (run.result or run.metrics).get("architecture"),
        **{name: f"{value:.6g}" for name, value in run.values.items()},
        **_selections(run),
        "training": _training(run),
        "checkpoints": ", ".join(path.stem.rpartition("-")[0] for path in run.checkpoints),
        "on disk": f"{size_of(run.path) / 2**20:.1f} MiB",
    }
    grid = Table.grid(padding=(0, 2))
    for key, value in facts.items():
        if value:
            grid.add_row(Text(key, style="bold"), Text(value, overflow="fold"))
    return grid


def _selections(run: RunInfo) -> dict[str, str]:
    """Return a line for each further selection: what it chose, and how good that is."""
    found = {}
    for name, selection in run.selections.items():
        facts = [selection["architecture"]]
        if selection["validation_accuracy"] is not None:
            facts.append(f"inherited_accuracy {selection['validation_accuracy']:.6g}")
        facts += [
            f"{entry['dataset']}.regret {entry['regret']:.6g}"
            for entry in selection["benchmark"]
            if entry.get("regret") is not None
        ]
        found[f"selection {name}"] = ", ".join(facts)
    return found


def _last_sign(run: RunInfo) -> str | None:
    if run.beat is None or run.status not in (*ACTIVE, LOST):
        return None
    age = duration_text(run.beat.age(datetime.now().astimezone()))
    return f"{age} ago, at {place_text(run.beat)}"


def place_text(beat: Beat) -> str:
    """Return how far a run is, as a phrase."""
    of = f" of {beat.total}" if beat.total else ""
    return f"{beat.phase} {beat.done}{of}" if beat.done or beat.total else beat.phase


def duration_text(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _training(run: RunInfo) -> str | None:
    accuracy = run.training.get("test_accuracy")
    if accuracy is None:
        return None
    return f"test_accuracy {accuracy:.6g} after {run.training['epochs']} epochs"


def next_step(run: RunInfo) -> str:
    """Return what can be done with a run."""
    if run.status == DONE:
        return f"Its settings are in {run.path / 'config.yaml'}, all scores in result.json."
    if run.status == STALLED:
        return (
            f"It hangs, or waits for something: {run.holder} has it. End that process, and go on "
            f"with:\n  {resume_command(run.path)}"
        )
    if run.status in ACTIVE:
        return f"It is running. Watch it:\n  {watch_command(run.path)}"
    if run.status == DAMAGED:
        return (
            f"Remove the files that are damaged, and {run.path / 'status.json'}; what can be made "
            f"anew is made by:\n  {resume_command(run.path)}"
        )
    return f"Go on with it:\n  {resume_command(run.path)}"
