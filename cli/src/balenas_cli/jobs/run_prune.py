"""Which runs are removed, and their removal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from balenas_cli.shell.run_names import existing
from balenas_cli.tables.run_rows import matching
from balenas_core.errors import UsageError
from balenas_core.runs.directory import CHECKPOINTS
from balenas_core.runs.listing import ACTIVE, DAMAGED, DONE, RunInfo
from balenas_core.runs.removal import refuse_link, remove_run, size_of

_DAY = 24 * 60 * 60


def chosen(
    names: Sequence[Path],
    folder: Path,
    *,
    status: str | None,
    filters: Sequence[str],
    older_than: float | None,
    force: bool,
) -> list[RunInfo]:
    """Return the runs to remove.

    Raises:
        UsageError: Nothing says which, or a run that is named may not be removed.
    """
    if names:
        if status is not None or filters or older_than is not None:
            raise UsageError("name runs, or choose them by options; not both.")
        runs = [existing(name) for name in names]
        for run in runs:
            refuse_link(run.path)
            if not _may_go(run, force=force):
                raise UsageError(f"{run.path} {_objection(run)}.")
        return runs
    if status is None and not filters and older_than is None:
        raise UsageError(
            "which runs? Name them, or choose by --status, --filter or --older-than; "
            "'balenas runs list' shows all."
        )
    found = [
        run
        for run in matching(folder, status=status, filters=filters)
        if _may_go(run, force=force) and (older_than is None or _is_older(run, older_than))
    ]
    for run in found:
        refuse_link(run.path)
    return found


def _may_go(run: RunInfo, *, force: bool) -> bool:
    return run.status == DONE or (force and run.status not in ACTIVE)


def _objection(run: RunInfo) -> str:
    if run.status in ACTIVE:
        return f"is {run.status} ({run.holder}); end it first"
    if run.status == DAMAGED:
        return "is damaged; see 'balenas runs show', and remove it with --force"
    return f"is {run.status} and can be resumed; remove it with --force"


def _is_older(run: RunInfo, days: float) -> bool:
    if run.updated is None:
        return False
    age = datetime.now().astimezone() - datetime.fromisoformat(run.updated)
    return age.total_seconds() > days * _DAY


def question(runs: Sequence[RunInfo], *, checkpoints_only: bool) -> str:
    """Return what to ask before removing."""
    size = sum(_size(run, checkpoints_only=checkpoints_only) for run in runs) / 2**20
    names = "\n".join(f"  {run.path}  {run.status}" for run in runs)
    what = "the checkpoints of these runs" if checkpoints_only else "these runs for good"
    return f"{names}\nRemove {what} ({size:.1f} MiB)?"


def prune(runs: Iterable[RunInfo], *, checkpoints_only: bool) -> Iterator[str]:
    """Remove runs one by one, and say so."""
    for run in runs:
        size = _size(run, checkpoints_only=checkpoints_only) / 2**20
        remove_run(run, checkpoints_only=checkpoints_only)
        what = f"the checkpoints of {run.path}" if checkpoints_only else str(run.path)
        yield f"removed {what} ({size:.1f} MiB)"


def _size(run: RunInfo, *, checkpoints_only: bool) -> int:
    return size_of(run.path / CHECKPOINTS if checkpoints_only else run.path)
