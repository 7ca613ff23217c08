"""Run directories, read without what they were made with.

Imports no torch, and pydantic with the first file that is read.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from balenas_core.errors import DamagedError, UsageError
from balenas_core.files import Holder, holder, open_regular, output_errors
from balenas_core.runs.checkpoints import Checkpoints
from balenas_core.runs.directory import (
    CHECKPOINTS,
    CONFIG,
    ENVIRONMENT,
    METRICS,
    RESULT,
    SELECTIONS,
    STATUS,
    check_holds_run,
)
from balenas_core.runs.heartbeat import Beat

_log = logging.getLogger(__name__)

RUNNING, STALLED, LOST, INTERRUPTED, FAILED, DONE, UNKNOWN, DAMAGED = STATUSES = (
    "running", "stalled", "lost", "interrupted", "failed", "done", "unknown", "damaged",
)  # fmt: skip

ACTIVE = frozenset({RUNNING, STALLED})
"""Of runs that a process works in."""

TRAINING = "training"
"""Folder in a run of what ``balenas train`` made of the choice."""

SEED_MARK = "-seed"
"""Comes before the seed in the names of runs and trainings that differ in it."""

# More than a line of metrics has.
_TAIL = 1 << 14
# Above it a whole number is no float.
_LARGEST = 1e300


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What a run directory says of its run.

    Args:
        path: The directory.
        stated: ``running``; ``stalled``, where a process has the run and has done nothing for
            much longer than anything took before; ``lost``, where the process that worked in it
            is gone without a word; ``interrupted``, ``failed``, ``done``; or ``unknown`` where
            nothing says so.
        config: The configuration as plain data; empty where it is not known.
        created: When the run was started, as ISO 8601.
        updated: When its status last changed.
        message: Why it failed or was interrupted.
        holder: The process that works in it.
        beat: How far it was at its last sign of life.
        metrics: The last whole line of ``metrics.jsonl``.
        result: ``result.json``, of a run that is done.
        selections: Further selections by name: the selector, and what ``result.json`` has.
        training: What became of the choice when it was trained; empty if it was not.
        environment: Versions and machine.
        checkpoints: Its checkpoints, newest first.
        problems: What is damaged, a sentence for each file; the rest is as it stands there.
    """

    path: Path
    stated: str
    config: Mapping[str, Any] = field(default_factory=dict)
    created: str | None = None
    updated: str | None = None
    message: str | None = None
    holder: Holder | None = None
    beat: Beat | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] | None = None
    selections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    checkpoints: Sequence[Path] = ()
    problems: Sequence[str] = ()

    @property
    def status(self) -> str:
        """How the run stands: as stated, or ``damaged`` where a file is and nobody works in it."""
        return DAMAGED if self.problems and self.holder is None else self.stated

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
        what it took; ``inherited_accuracy``, that of the choice with the supernet's weights;
        ``check_accuracy`` and ``control_accuracy``, those of the choice and of a uniform draw
        after a short training; and ``<dataset>.value``, ``.regret`` and ``.rank`` of benchmarks.
        """
        found = {name: value for name, value in self.metrics.items() if name != "seconds"}
        if self.result is not None:
            found["inherited_accuracy"] = self.result.get("validation_accuracy")
            check = self.result.get("check")
            if check is not None:
                found["check_accuracy"] = check["accuracy"]
                found["control_accuracy"] = check["control_accuracy"]
            for entry in self.result.get("benchmark", ()):
                for name in ("value", "regret", "rank"):
                    found[f"{entry['dataset']}.{name}"] = entry.get(name)
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
            "heartbeat": None if self.beat is None else asdict(self.beat),
            "problems": list(self.problems),
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
    folders = [folder]
    while folders:
        here = folders.pop()
        try:
            with os.scandir(here) as found:
                entries = list(found)
        except OSError as error:
            if here == folder:
                raise
            _log.warning("cannot look into %s: %s", here, error.strerror)
            continue
        if any(entry.name == CONFIG for entry in entries) and _is_run(entries):
            yield here
            continue
        folders += [
            Path(entry.path)
            for entry in entries
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
        ]


def _is_run(entries: list[os.DirEntry[str]]) -> bool:
    return any(entry.name in (STATUS, ENVIRONMENT) for entry in entries)


def read_run(path: Path) -> RunInfo:
    """Return what a run directory says. What is damaged is among the problems, and left out."""
    from balenas_core.runs import stored

    read = _Reader(path)
    run = _as_it_stands(path, read)
    result = read(RESULT, stored.StoredResult, is_needed=True) if run.stated == DONE else {}
    selections = {
        file.removesuffix(".json"): read(f"{SELECTIONS}/{file}", stored.StoredSelection)
        for file in read.names(SELECTIONS)
        if file.endswith(".json")
    }
    return replace(
        run,
        result=result or None,
        selections={name: value for name, value in selections.items() if value},
        training=read(f"{TRAINING}/{RESULT}", stored.StoredTraining),
        environment=read(ENVIRONMENT, stored.StoredEnvironment),
        checkpoints=read.checkpoints(),
    )


def _standing(status: Mapping[str, Any], read: _Reader) -> tuple[str, Holder | None, Beat | None]:
    """Return how a run stands, who works in it, and its last sign of life."""
    name, beat = status.get("status", UNKNOWN), Beat.read(status.get("heartbeat"))
    who = read.holder() if name != DONE else None
    if who is None:
        return LOST if name == RUNNING else name, None, beat
    is_silent = beat is not None and beat.age(datetime.now().astimezone()) > beat.patience
    return STALLED if is_silent and name == RUNNING else RUNNING, who, beat


class _Reader:
    """Reads files of a run, and collects what is damaged."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self.problems: list[str] = []

    def __call__(self, name: str, model: type, *, is_needed: bool = False) -> dict[str, Any]:
        """Return what a file of JSON holds; empty if it is absent or damaged."""
        from balenas_core.runs.stored import read_stored

        try:
            return read_stored(self._run / name, model)
        except FileNotFoundError:
            if is_needed:
                self.problems.append(f"{self._run / name} is missing.")
        except DamagedError as error:
            self.problems.append(str(error))
        return {}

    def holder(self) -> Holder | None:
        """Return the process that works in the run."""
        try:
            return holder(self._run)
        except DamagedError as error:
            self.problems.append(str(error))
            return None

    def names(self, folder: str) -> list[str]:
        """Return what a folder holds; nothing if it is absent."""
        try:
            return sorted(os.listdir(self._run / folder))
        except FileNotFoundError:
            return []
        except OSError as error:
            self.problems.append(f"{self._run / folder} cannot be read: {error.strerror}.")
            return []

    def checkpoints(self) -> list[Path]:
        """Return the checkpoints, newest first."""
        folder = self._run / CHECKPOINTS
        try:
            return Checkpoints(folder).paths()
        except OSError as error:
            self.problems.append(f"{folder} cannot be read: {error.strerror}.")
            return []


def read_training(folder: Path) -> RunInfo:
    """Return how a training of a run's choice stands, without its result."""
    return _as_it_stands(folder, _Reader(folder))


def _as_it_stands(folder: Path, read: _Reader) -> RunInfo:
    """Return what the status of a run says; the reader's problems are its own."""
    from balenas_core.runs import stored

    status = read(STATUS, stored.StoredStatus)
    name, who, beat = _standing(status, read)
    return RunInfo(
        folder,
        name,
        config=status.get("config") or {},
        created=status.get("created"),
        updated=status.get("updated"),
        message=status.get("message"),
        holder=who,
        beat=beat,
        metrics=last_metrics(folder),
        problems=read.problems,
    )


def training_folders(path: Path) -> list[Path]:
    """Return the folders of a run in which its choice was trained: once, or once for each seed."""
    by_seed = path.glob(f"{TRAINING}{SEED_MARK}*")
    numbered = sorted(by_seed, key=lambda folder: (len(folder.name), folder.name))
    return [folder for folder in (path / TRAINING, *numbered) if folder.is_dir()]


def last_metrics(path: Path) -> dict[str, Any]:
    """Return the last whole line of a run's metrics; empty if there is none."""
    from balenas_core.runs.stored import StoredMetrics, parsed

    try:
        descriptor = open_regular(path / METRICS, os.O_RDONLY, follows=True)
    except (OSError, DamagedError):
        return {}
    with os.fdopen(descriptor, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL))
        lines = file.read().split(b"\n")[:-1]
    for line in reversed(lines):
        try:
            return parsed(line, StoredMetrics)
        except ValueError:
            continue
    return {}


def read_chosen(path: Path) -> tuple[RunInfo, Mapping[str, Any]]:
    """Read a run that is done, and its result.

    Raises:
        UsageError: There is no run, or it has chosen no architecture yet.
        DamagedError: Its status or its result is damaged.
    """
    check_holds_run(path)
    run = read_run(path)
    if run.result is not None and run.config:
        return run, run.result
    if run.stated == DONE or run.problems:
        told = " ".join(run.problems) or f"{path / STATUS} has no configuration."
        raise DamagedError(
            f"{told} Remove what is damaged, and {path / STATUS}; 'balenas resume {path}' then "
            f"makes it anew."
        )
    raise UsageError(
        f"run {path} is {run.status} after {run.epochs_done} of {run.epochs or '?'} epochs: it "
        f"has chosen no architecture yet. Finish it with 'balenas resume {path}'."
    )


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) < _LARGEST  # NaN is less than nothing
