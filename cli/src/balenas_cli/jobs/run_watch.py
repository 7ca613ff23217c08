"""Looking at runs again and again, from their files alone, until they end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from balenas_cli.shell.console import print_json_line, print_text, stdout
from balenas_cli.tables.run_rows import next_step
from balenas_cli.tables.watched import display, facts, line
from balenas_core.errors import UsageError
from balenas_core.runs.directory import STATUS, holds_run
from balenas_core.runs.listing import (
    ACTIVE,
    RunInfo,
    find_runs,
    read_run,
    read_training,
    training_folders,
)

_GRACE = 10.0
"""Seconds for which a folder in which a run has just ended may begin another."""
_SHARE = 10
"""The pauses between looks are at least so many times as long as a look takes."""

_MINUTE = 60.0

Look = Callable[[], list[RunInfo]]


def watch(path: Path, *, interval: float, json: bool) -> None:
    """Show runs until none of them goes on.

    Args:
        path: A run, a training, or a folder of runs.
        interval: Seconds between two looks.
        json: Write a line of JSON for each change.

    Raises:
        UsageError: There is no such folder.
    """
    look, is_one = _looker(path)
    looks = _looks(look, interval, grace=0.0 if is_one else _GRACE)
    if json or not stdout().is_terminal:
        last = _write_changes(looks, path, as_json=json)
    else:
        last = _redraw(looks, path)
    if json:
        return
    if not last:
        print_text(f"no runs in {path}")
    elif is_one:
        print_text(next_step(last[0]))


def _looker(path: Path) -> tuple[Look, bool]:
    """Return what reads the runs, and whether it is a single one."""
    if holds_run(path):
        return lambda: [read_run(path), *_active_trainings(path)], True
    if (path / STATUS).is_file():
        return lambda: [read_training(path)], True
    if not path.is_dir():
        raise UsageError(
            f"there is no run and no folder {path}; 'balenas search' makes the first run, and "
            f"'balenas runs list --folder DIRECTORY' shows what is in another folder."
        )
    return lambda: [one for run in find_runs(path) for one in _with_trainings(run)], False


def _with_trainings(run: RunInfo) -> list[RunInfo]:
    return [run, *_active_trainings(run.path)]


def _active_trainings(run: Path) -> list[RunInfo]:
    trainings = map(read_training, training_folders(run))
    return [training for training in trainings if training.status in ACTIVE]


def _looks(look: Look, interval: float, *, grace: float) -> Iterator[list[RunInfo]]:
    """Yield the runs again and again, until none has gone on for some time."""
    until: float | None = None
    while True:
        start = time.monotonic()
        runs = look()
        took = time.monotonic() - start
        yield runs
        if any(run.status in ACTIVE for run in runs):
            until = time.monotonic() + grace
        elif until is None or time.monotonic() >= until:
            return
        time.sleep(max(interval, _SHARE * took))


def _write_changes(
    looks: Iterator[Sequence[RunInfo]], folder: Path, *, as_json: bool
) -> Sequence[RunInfo]:
    """Write a line for each run that changed; return the last look.

    Steps between epochs are told once a minute, so that a log of days can be read.
    """
    seen: dict[Path, tuple[object, float]] = {}
    runs: Sequence[RunInfo] = ()
    for runs in looks:
        for run in runs:
            mark = (run.status, run.epochs_done, run.beat.phase if run.beat else None)
            minute = 0.0 if run.status not in ACTIVE else time.monotonic() // _MINUTE
            if seen.get(run.path) == (mark, minute):
                continue
            seen[run.path] = (mark, minute)
            if as_json:
                print_json_line(facts(run))
            else:
                print_text(line(run, folder))
        sys.stdout.flush()
    return runs


def _redraw(looks: Iterator[Sequence[RunInfo]], folder: Path) -> Sequence[RunInfo]:
    """Keep a display on the terminal; return the last look, whose display stays."""
    from rich.live import Live

    console = stdout()
    runs: Sequence[RunInfo] = ()
    with Live(console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:
        for runs in looks:
            live.update(display(runs, folder, height=console.height), refresh=True)
    return runs
