"""Run directories, read without what they were made with. Imports neither torch nor pydantic."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from balenas_core.errors import RunLockedError, UsageError
from balenas_core.files import LOCK, Holder, RunLock, holder, output_errors
from balenas_core.runs.directory import (
    CHECKPOINTS,
    CONFIG,
    ENVIRONMENT,
    METRICS,
    RESULT,
    SELECTIONS,
    STATUS,
    check_holds_run,
    holds_run,
)

RUNNING, INTERRUPTED, FAILED, DONE, UNKNOWN = STATUSES = (
    "running", "interrupted", "failed", "done", "unknown",
)  # fmt: skip

TRAINING = "training"
"""Folder in a run of what ``balenas train`` made of the choice."""

# More than a line of metrics has.
_TAIL = 1 << 14


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What a run directory says of its run.

    Args:
        path: The directory.
        status: ``running``, ``interrupted`` (also by a kill), ``failed``, ``done``, or
            ``unknown`` where its file is damaged.
        config: The configuration as plain data.
        created: When the run was started, as ISO 8601.
        updated: When its status last changed.
        message: Why it failed or was interrupted.
        holder: The process that works in it.
        metrics: The last whole line of ``metrics.jsonl``.
        result: ``result.json``, of a run that is done.
    """

    path: Path
    status: str
    config: Mapping[str, Any] = field(default_factory=dict)
    created: str | None = None
    updated: str | None = None
    message: str | None = None
    holder: Holder | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] | None = None

    @property
    def epochs_done(self) -> int:
        """Whole epochs."""
        epoch = self.metrics.get("epoch")
        return epoch + 1 if isinstance(epoch, int) else 0

    @property
    def epochs(self) -> int | None:
        """Epochs that were asked for."""
        epochs = self.setting("training.epochs")
        return epochs if isinstance(epochs, int) else None

    @property
    def seconds(self) -> float | None:
        """Time spent by a run that is done."""
        return sum(self.result["seconds"].values()) if self.result else None

    def setting(self, key: str) -> Any:
        """Return a value of the configuration by its dotted key; a plugin's section by name.

        Returns None where there is no such key.
        """
        value: Any = self.config
        for part in key.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return None
            value = value[part]
        return value["name"] if isinstance(value, Mapping) and "name" in value else value

    @property
    def values(self) -> dict[str, float]:
        """Every number by which runs can be sorted.

        The last epoch's metrics by their own names; of a run that is done also ``seconds``,
        what it took; ``inherited_accuracy``, that of the chosen
        architecture with the supernet's weights; and ``<dataset>.value``, ``.regret`` and
        ``.rank`` of benchmarks.
        """
        found = {name: value for name, value in self.metrics.items() if name != "seconds"}
        if self.result is not None:
            found["inherited_accuracy"] = self.result.get("validation_accuracy")
            for entry in self.result.get("benchmark", ()):
                for name in ("value", "regret", "rank"):
                    found[f"{entry['dataset']}.{name}"] = entry[name]
            found["seconds"] = self.seconds
        return {name: float(value) for name, value in found.items() if _is_number(value)}

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            "path": str(self.path),
            "status": self.status,
            "epochs_done": self.epochs_done,
            "epochs": self.epochs,
            "created": self.created,
            "updated": self.updated,
            "message": self.message,
            "values": self.values,
            "architecture": (self.result or self.metrics).get("architecture"),
            "config": dict(self.config),
        }


def find_runs(folder: Path) -> list[RunInfo]:
    """Return every run in a folder, or in folders below it, oldest first.

    What lies inside of a run is no run of its own.

    Raises:
        OutputError: The folder cannot be read.
    """
    with output_errors(folder, verb="read"):
        found = [read_run(path) for path in _run_folders(folder)]
    return sorted(found, key=lambda run: (run.created or "", run.path))


def _run_folders(folder: Path) -> Iterator[Path]:
    entries = list(os.scandir(folder))
    if any(entry.name == CONFIG for entry in entries) and _is_run(entries):
        yield folder
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
            yield from _run_folders(Path(entry.path))


def _is_run(entries: list[os.DirEntry[str]]) -> bool:
    return any(entry.name in (STATUS, ENVIRONMENT) for entry in entries)


def read_run(path: Path) -> RunInfo:
    """Return what a run directory says; what is damaged or absent counts as not said."""
    status = _json(path / STATUS)
    name, config = status.get("status", UNKNOWN), status.get("config")
    who = holder(path) if name != DONE else None
    if who is not None:
        name = RUNNING
    elif name == RUNNING:  # its process was killed before it could say so
        name = INTERRUPTED
    return RunInfo(
        path,
        name if name in STATUSES else UNKNOWN,
        config=config if isinstance(config, dict) else {},
        created=status.get("created"),
        updated=status.get("updated"),
        message=status.get("message"),
        holder=who,
        metrics=last_metrics(path),
        result=_json(path / RESULT) or None if name == DONE else None,
    )


def read_selections(path: Path) -> dict[str, dict[str, Any]]:
    """Return the further selections of a run by name: the selector, and what ``result.json`` has.

    What is damaged is left out.
    """
    found = {file.stem: _json(file) for file in sorted((path / SELECTIONS).glob("*.json"))}
    return {name: value for name, value in found.items() if value}


def read_training(path: Path) -> dict[str, Any]:
    """Return what became of a run's choice when ``balenas train`` trained it; empty if it did not.

    What is damaged is left out.
    """
    return _json(path / TRAINING / RESULT)


def last_metrics(path: Path) -> dict[str, Any]:
    """Return the last whole line of a run's metrics; empty if there is none."""
    try:
        with (path / METRICS).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL))
            lines = file.read().split(b"\n")[:-1]
    except OSError:
        return {}
    for line in reversed(lines):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        return record if isinstance(record, dict) else {}
    return {}


def read_chosen(path: Path) -> tuple[RunInfo, Mapping[str, Any]]:
    """Read a run that is done, and its result.

    Raises:
        UsageError: There is no run, or it has chosen no architecture yet.
    """
    check_holds_run(path)
    run = read_run(path)
    if run.status != DONE or run.result is None:
        raise UsageError(
            f"run {path} is {run.status} after {run.epochs_done} of {run.epochs or '?'} epochs: it "
            f"has chosen no architecture yet. Finish it with 'balenas resume {path}'."
        )
    return run, run.result


def remove_run(run: RunInfo, *, checkpoints_only: bool = False) -> None:
    """Remove a run's directory, or its checkpoints.

    Raises:
        RunLockedError: A process works in it, or in a training below it.
        OutputError: It cannot be removed.
    """
    if not holds_run(run.path):
        raise RunLockedError(f"{run.path} holds no run any more.")
    with output_errors(run.path, verb="remove"):
        lock = RunLock.acquire(run.path)
        try:
            if checkpoints_only:
                shutil.rmtree(run.path / CHECKPOINTS, ignore_errors=True)
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
            raise RunLockedError(f"{lock.parent} is in use by {who}. Wait for it, or end it first.")


def size_of(path: Path) -> int:
    """Return the bytes of all files in a directory."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
