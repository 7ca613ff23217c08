"""A run's directory: configuration, environment, state, metrics, checkpoints and result.

``config.yaml``      what was asked for, with every default
``environment.json`` versions and machine
``status.json``      running, interrupted, failed or done; the last sign of life; the configuration
                     once more, as JSON
``metrics.jsonl``    one line per epoch
``distribution.jsonl``  the weight of every choice, one line per epoch after one of names
``prior.json``       what proxies said of every choice before the search, if it was asked for
``checkpoints/``     the last good states (tensors and plain data only)
``selection.jsonl``  one line per scored candidate
``result.json``      what was found
``selections/``      what other selectors chose from the same search
``lock``             who works in it; only while somebody does

On the CPU, ``metrics.jsonl``, ``distribution.jsonl`` and ``result.json`` of a run that was killed
and resumed are those of an uninterrupted one, but for what is called ``seconds``.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balenas_core.errors import DamagedError, OutputError, RunExistsError, UsageError
from balenas_core.files import (
    LOCK,
    RunLock,
    finite as finite,
    holder,
    in_use,
    is_unfinished,
    output_errors,
    remove_unfinished,
    write_atomically,
)
from balenas_core.runs.checkpoints import Checkpoint, Checkpoints
from balenas_core.runs.epoch_log import DISTRIBUTION as DISTRIBUTION, METRICS as METRICS, EpochLog
from balenas_core.runs.heartbeat import Heartbeat
from balenas_core.runs.score_log import ScoreLog

if TYPE_CHECKING:
    from balenas_core.interfaces.events import SearchFailed

_log = logging.getLogger(__name__)

CONFIG, ENVIRONMENT, STATUS = "config.yaml", "environment.json", "status.json"
SELECTION, RESULT, PRIOR = "selection.jsonl", "result.json", "prior.json"
SELECTIONS, CHECKPOINTS = "selections", "checkpoints"


@dataclass(frozen=True, slots=True)
class RunKind:
    """What a run directory is of.

    Args:
        config: Name of the file that makes it a run.
        resume: The command that goes on with it.
        state: What its checkpoints hold beside what all do.
    """

    config: str
    resume: str
    state: frozenset[str]


SEARCH = RunKind(CONFIG, "balenas resume", frozenset({"early_stopping", "generators"}))


class RunDirectory:
    """An output directory that holds one run.

    ``log`` appends what is known of an epoch to the run's files of lines.

    Args:
        path: A directory made by ``create``.
        keep: Number of checkpoints to keep.
        kind: What the run is of.
    """

    def __init__(self, path: Path, *, keep: int = 2, kind: RunKind = SEARCH) -> None:
        self.path = path
        self.kind = kind
        self.checkpoints = Checkpoints(path / CHECKPOINTS, keep=keep, check=self._check)
        self.log = EpochLog(path)
        self._lock: RunLock | None = None
        self._status: dict[str, Any] = {}
        self._heartbeat: Heartbeat | None = None  # of a run that is worked at

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        config_yaml: str,
        environment: Mapping[str, Any],
        config: Mapping[str, Any] | None = None,
        keep: int = 2,
        kind: RunKind = SEARCH,
    ) -> RunDirectory:
        """Make a new run directory, with its configuration and environment, and lock it.

        Args:
            path: Directory.
            config_yaml: Configuration as text.
            environment: Versions and machine.
            config: Configuration as plain data, for listings.
            keep: Number of checkpoints to keep.
            kind: What the run is of.

        Raises:
            RunExistsError: ``path`` exists and is not an empty directory.
            RunLockedError: Another process is about to make the same run.
            OutputError: It cannot be written; nothing is left behind.
        """
        check_is_free(path, kind)
        run = cls(path, keep=keep, kind=kind)
        existed = path.is_dir()
        with output_errors(path):
            path.mkdir(parents=True, exist_ok=True)
            run.lock()
            try:
                _check_holds_nothing(path, kind)  # it may have been taken in between
            except BaseException:
                run.release()
                raise
            try:
                run.write_json(ENVIRONMENT, environment)
                run.log.restore(None)
                run.write_status("running", **({} if config is None else {"config": config}))
                # Last: what has a configuration is a run, and can be resumed.
                text = config_yaml.encode()
                write_atomically(path / kind.config, lambda file: file.write(text))
            except BaseException:
                _remove(path, kind, keep_directory=existed)
                run.release()
                raise
        run._begin_heartbeat()
        return run

    def lock(self) -> None:
        """Keep other processes from writing the run until ``release``.

        Raises:
            RunLockedError: Another process works in the run.
            OutputError: The lock cannot be written.
        """
        with output_errors(self.path / LOCK):
            self._lock = RunLock.acquire(self.path)

    def release(self) -> None:
        """Undo ``lock``."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write ``value`` as JSON, atomically; non-finite numbers become null.

        Raises:
            OutputError: The file cannot be written.
        """
        text = json.dumps(finite(value), indent=2, ensure_ascii=False) + "\n"
        with output_errors(self.path / name):
            write_atomically(self.path / name, lambda file: file.write(text.encode()))

    def read_status(self) -> dict[str, Any]:
        """Return what ``write_status`` has collected.

        It is empty where there is nothing, and, with a warning, where it is damaged.
        """
        from balenas_core.runs.stored import StoredStatus

        return self._known(STATUS, StoredStatus)

    def read_environment(self) -> dict[str, Any]:
        """Return what the run was started on; empty as of ``read_status``."""
        from balenas_core.runs.stored import StoredEnvironment

        return self._known(ENVIRONMENT, StoredEnvironment)

    def _known(self, name: str, model: type) -> dict[str, Any]:
        from balenas_core.runs.stored import read_stored

        try:
            return read_stored(self.path / name, model)
        except FileNotFoundError:
            return {}
        except DamagedError as error:
            _log.warning("%s", error)
            return {}

    def write_status(self, status: str, **facts: Any) -> None:
        """Record how the run stands, and facts, over what is recorded.

        Raises:
            OutputError: The file cannot be written.
        """
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        before = {"status": status, "created": now, "message": None} | self.read_status()
        self._status = {**before, "status": status, "updated": now, **facts}
        self.write_json(STATUS, self._status)

    def reached(self, phase: str, done: int, total: int) -> None:
        """Record how far the work is, now and then, if the run is worked at.

        Args:
            phase: What it is at, such as ``search``.
            done: Steps or candidates that are done.
            total: Of how many; 0 if nobody knows.
        """
        if self._heartbeat is not None:
            self._heartbeat.reached(phase, done, total)

    def beat(self) -> None:
        """Record now and then that the work goes on, after each unit of it."""
        if self._heartbeat is not None:
            self._heartbeat.beat()

    def _begin_heartbeat(self) -> None:
        self._heartbeat = Heartbeat(self._write_beat)

    def _write_beat(self, beat: Mapping[str, Any]) -> None:
        self._status = {**self._status, "heartbeat": beat}
        try:
            self.write_json(STATUS, self._status)
        except OutputError as error:  # what cannot be seen goes on all the same
            self._heartbeat = None
            _log.warning("%s The run goes on, and does not say so in its status.", error)

    def reopen(self, config_yaml: str, config: Mapping[str, Any]) -> None:
        """Record that work goes on, and its configuration where that is another by now.

        Raises:
            OutputError: A file cannot be written.
        """
        if self.read_status().get("config") != config:
            path, text = self.path / self.kind.config, config_yaml.encode()
            with output_errors(path):
                write_atomically(path, lambda file: file.write(text))
        self.write_status("running", message=None, config=config, heartbeat=None)
        self._begin_heartbeat()

    def record_failure(self, failed: SearchFailed) -> None:
        """Record what ended the run, if that can be written."""
        # The disk that ended it may not take this either.
        with suppress(OutputError):
            self.write_status(
                "interrupted" if failed.is_interrupt else "failed", message=str(failed.error)
            )

    def write_checkpoint(self, state: Mapping[str, Any], *, epoch: int, step: int) -> str:
        """Write a checkpoint, atomically, and return its checksum.

        Raises:
            OutputError: The file cannot be written; the checkpoints before are intact.
        """
        with output_errors(self.path / CHECKPOINTS):
            return self.checkpoints.write(state, epoch=epoch, step=step)

    def read_checkpoint(self) -> Checkpoint | None:
        """Return the newest checkpoint that is whole; None if there is none.

        Raises:
            OutputError: As ``read_checkpoints``.
        """
        return next(self.read_checkpoints(), None)

    def read_checkpoints(self) -> Iterator[Checkpoint]:
        """Yield the checkpoints that are whole, newest first.

        Raises:
            OutputError: A checkpoint cannot be read, or none of them is of this version.
        """
        with output_errors(self.path / CHECKPOINTS, verb="read"):
            yield from self.checkpoints.whole()

    def _check(self, state: dict[str, Any]) -> None:
        from balenas_core.runs.saved_state import check_saved

        check_saved(state, self.kind.state)

    def open_scores(self, checkpoint: str) -> ScoreLog:
        """Return the memory of a selection that starts from the checkpoint of this checksum.

        Raises:
            OutputError: It cannot be written.
        """
        return ScoreLog(self.path / SELECTION, checkpoint)

    def tidy(self, newest: Checkpoint | None) -> None:
        """Remove unfinished and damaged files that a killed process has left.

        Args:
            newest: The checkpoint that is gone on from; newer ones, which do not fit, go.

        Raises:
            OutputError: One cannot be removed.
        """
        with output_errors(self.path):
            for path in self.path.iterdir():
                if is_unfinished(path):
                    remove_unfinished(path)
            self.checkpoints.tidy(newest)


def holds_run(path: Path, kind: RunKind = SEARCH) -> bool:
    """Whether a directory is that of a run."""
    return (path / kind.config).is_file()


def check_holds_run(path: Path) -> None:
    """Check that there is a run to go on with.

    Raises:
        UsageError: There is none.
    """
    if not holds_run(path):
        raise UsageError(
            f"{path} holds no run: there is no {path / CONFIG}. 'balenas runs list' shows runs."
        )


def check_is_free(path: Path, kind: RunKind = SEARCH) -> None:
    """Check that a run can be made at ``path``.

    Raises:
        RunExistsError: ``path`` exists and is not an empty directory, or lies below a file.
        RunLockedError: It holds a run, and another process works in it.
        OutputError: ``path`` cannot be looked at.
    """
    with output_errors(path):
        who = holder(path) if holds_run(path, kind) else None
    if who is not None:
        raise in_use(path, who)
    _check_holds_nothing(path, kind)


def _check_holds_nothing(path: Path, kind: RunKind) -> None:
    with output_errors(path):
        for parent in path.parents:
            if parent.is_file():
                raise RunExistsError(
                    f"output {path} lies below the file {parent}; choose a directory with --output."
                )
        if not path.exists():
            return
        if not path.is_dir():
            raise RunExistsError(f"output {path} is a file; choose a directory with --output.")
        files = {file.name for file in path.iterdir() if not is_unfinished(file)}
        if kind.config in files:
            raise RunExistsError(
                f"output {path} already holds a run; go on with it with '{kind.resume} {path}', "
                f"choose another directory with --output, or remove it first."
            )
        # The lock tells that the rest was left by a process killed while it made the run.
        if files and not (LOCK in files and files <= {LOCK, ENVIRONMENT, METRICS, STATUS}):
            raise RunExistsError(
                f"output {path} already holds other files; choose another with --output, "
                f"or remove it first."
            )


def _remove(path: Path, kind: RunKind, *, keep_directory: bool) -> None:
    if not keep_directory:
        shutil.rmtree(path, ignore_errors=True)
        return
    for name in (kind.config, ENVIRONMENT, METRICS, STATUS):
        (path / name).unlink(missing_ok=True)
