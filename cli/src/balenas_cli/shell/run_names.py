"""Run directories as the user names them."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from balenas_cli.shell.output import RUNS

if TYPE_CHECKING:
    from balenas_core.runs.listing import RunInfo


def run_path(named: Path) -> Path:
    """Return the directory that is meant: a path, or the name of a run in ``runs/``."""
    if not named.exists() and (RUNS / named).is_dir():
        return RUNS / named
    return named


def complete_run(incomplete: str) -> list[str]:
    """Return the runs in ``runs/`` whose path or name starts like this."""
    folders = sorted(RUNS.iterdir()) if RUNS.is_dir() else []
    found = []
    for folder in folders:
        if (folder / "config.yaml").is_file():
            found += [text for text in (str(folder), folder.name) if text.startswith(incomplete)]
    return found


def existing(named: Path) -> RunInfo:
    """Return the run that is meant.

    Raises:
        UsageError: There is none.
    """
    from balenas_core.runs.directory import check_holds_run
    from balenas_core.runs.listing import read_run

    path = run_path(named)
    check_holds_run(path)
    return read_run(path)


def resume_command(run: Path) -> str:
    """Return the command that goes on with a run."""
    return own_command("resume", str(run))


def own_command(*arguments: str) -> str:
    """Return a command of balenas, for as many processes as share this one."""
    processes = os.environ.get("LOCAL_WORLD_SIZE", "1")
    launcher = ["balenas"]
    if processes != "1":
        launcher = ["torchrun", f"--nproc-per-node={processes}", "-m", "balenas_cli"]
    return shlex.join([*launcher, *arguments])


def watch_command(run: Path) -> str:
    """Return the command that shows how far a run is."""
    return shlex.join(["balenas", "runs", "watch", str(run)])
