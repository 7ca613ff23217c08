"""Removing runs, and what they take on the disk."""

from __future__ import annotations

import os
import shlex
import shutil
from contextlib import suppress
from pathlib import Path

from balenas_core.errors import RunLockedError, UsageError
from balenas_core.files import LOCK, RunLock, holder, in_use, output_errors
from balenas_core.runs.directory import CHECKPOINTS, CONFIG, holds_run
from balenas_core.runs.listing import RunInfo


def refuse_link(path: Path) -> None:
    """Check that a run is named by its own directory, which can be removed.

    Raises:
        UsageError: It is a link to one.
    """
    if path.is_symlink():
        target = shlex.quote(os.path.realpath(path))
        raise UsageError(
            f"{path} is a link. Name the run itself, {target}, and remove the link by "
            f"'rm {shlex.quote(str(path))}'."
        )


def remove_run(run: RunInfo, *, checkpoints_only: bool = False) -> None:
    """Remove a run's directory, or its checkpoints.

    Raises:
        UsageError: It is named by a link.
        RunLockedError: A process works in it, or in a training below it.
        OutputError: It cannot be removed.
    """
    refuse_link(run.path)
    if not holds_run(run.path):
        raise RunLockedError(f"{run.path} holds no run any more.")
    with output_errors(run.path, verb="remove"):
        lock = RunLock.acquire(run.path)
        try:
            if checkpoints_only:
                refuse_link(run.path / CHECKPOINTS)
                if (run.path / CHECKPOINTS).exists():
                    shutil.rmtree(run.path / CHECKPOINTS)
            else:
                _refuse_work_below(run.path)
                # The configuration, which makes it a run, goes first, the lock last.
                (run.path / CONFIG).unlink()
                for entry in list(run.path.iterdir()):
                    if entry.is_dir() and not entry.is_symlink():
                        shutil.rmtree(entry)
                    elif entry.name != LOCK:
                        entry.unlink()
        finally:
            lock.release()
        if not checkpoints_only:
            run.path.rmdir()


def _refuse_work_below(run: Path) -> None:
    for lock in run.glob(f"*/{LOCK}"):
        who = holder(lock.parent)
        if who is not None:
            raise in_use(lock.parent, who)


def size_of(path: Path) -> int:
    """Return the bytes of all files in a directory, as far as it can be read."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):  # removed since
                total += os.lstat(os.path.join(folder, name)).st_size
    return total
