"""A sweep from its first trial to its best one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from balenas_core.config import dump_yaml, parse_yaml
from balenas_core.errors import RunExistsError, SearchInterrupted, UsageError
from balenas_core.execution import as_done, open_workers
from balenas_core.files import RunLock, output_errors, write_atomically
from balenas_core.interfaces.executor import Executor
from balenas_core.runs.directory import CONFIG
from balenas_sweep._plan import FINGERPRINT, check, fingerprint, plan
from balenas_sweep._recovery import ROW, recover, requeue, trial_folder
from balenas_sweep._spec import SPEC, StoredSweep, SweepSpec, read_spec
from balenas_sweep._storage import JOURNAL, file_of, storage_errors, without_password
from balenas_sweep._trial import (
    ERROR,
    SURPLUS,
    TrialWorker,
    is_left,
    is_stopping,
)

BEST = "best.yaml"
PARETO = "pareto"
_POLLED_EVERY = 2.0
_LOST = "its worker was lost each time"


@dataclass(frozen=True, slots=True)
class TrialInfo:
    """What is known of one trial, over all its tries.

    Args:
        number: Of its first try.
        state: ``waiting``, ``running``, ``complete``, ``pruned`` or ``fail``.
        values: Of the objectives, of one that is complete.
        settings: Dotted key -> value of what makes it different.
        path: Its run directory.
        error: Why it failed.
    """

    number: int
    state: str
    values: tuple[float, ...]
    settings: dict[str, Any]
    path: Path
    error: str | None


class Sweep:
    """A folder with ``sweep.json``, the run directories of its trials, and its best settings.

    Args:
        folder: The folder.
        stored: What its file says.
        storage: Where the study is, with its password.
    """

    def __init__(self, folder: Path, stored: StoredSweep, storage: str | None) -> None:
        self.folder = folder
        self.spec = stored.spec
        self._worker = TrialWorker(folder.resolve(), storage, stored.study, stored.spec)

    @classmethod
    def begin(cls, folder: Path, spec: SweepSpec, *, storage: str | None, study: str) -> Sweep:
        """Make a sweep, and put its trials into the queue.

        Args:
            folder: Where; nothing, or an empty folder.
            spec: The sweep.
            storage: A URL of SQLAlchemy, ``journal``, or None for a SQLite file in the folder.
            study: Name of the study.

        Raises:
            RunExistsError: The folder holds something.
            UsageError: A trial cannot be begun, trials cannot be compared, or the storage has a
                study of that name that is another's.
            BalenasError: The storage does not answer.
        """
        check(spec)
        stored = StoredSweep(spec=spec, storage=without_password(storage), study=study)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            told = (
                "holds a sweep; go on with it with --resume allow"
                if is_sweep(folder)
                else ("exists already")
            )
            raise RunExistsError(f"output {folder} {told}, or choose another with --output.")
        existed = folder.exists()
        with output_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        sweep = cls(folder, stored, storage)
        try:
            sweep._make_study()
            _write(folder / SPEC, stored.model_dump_json(indent=1) + "\n")
        except BaseException:
            if not existed and not any(folder.iterdir()):
                folder.rmdir()
            raise
        sweep.plan()
        return sweep

    @classmethod
    def open(
        cls, folder: Path, *, storage: str | None = None, spec: SweepSpec | None = None
    ) -> Sweep:
        """Return a sweep that was begun, here or on another machine.

        Args:
            folder: Its folder.
            storage: Where the study is, if the file does not say all, such as a password.
            spec: What it must be; None for whatever it is.

        Raises:
            UsageError: There is none, or it is another.
            DamagedError: Its file is damaged.
            BalenasError: The storage does not answer.
        """
        stored = read_spec(folder)
        if spec is not None and stored.spec != spec:
            changed = [
                name for name in SweepSpec.model_fields
                if getattr(spec, name) != getattr(stored.spec, name)
            ]  # fmt: skip
            raise UsageError(
                f"sweep {folder} was begun with other {', '.join(changed)}; go on with 'balenas "
                f"sweep --resume must --output {folder}' alone, or choose another folder."
            )
        sweep = cls(folder, stored, storage or stored.storage)
        sweep.plan()
        return sweep

    def plan(self) -> int:
        """Put trials of a grid or a list into the queue that are not there; return how many."""
        with output_errors(self.folder):
            lock = RunLock.acquire_file(self.folder / SPEC)
        try:
            with storage_errors(self._worker.storage):
                return plan(self._worker.open(), self.spec)
        finally:
            lock.release()

    def _make_study(self) -> None:
        """Make the study, or take the one of the same sweep.

        Raises:
            UsageError: The storage has another study of this name.
        """
        worker = self._worker
        with storage_errors(worker.storage):
            study = optuna.create_study(
                storage=worker.opened(),
                study_name=worker.study,
                directions=[objective.direction for objective in self.spec.objectives],
                load_if_exists=True,
            )
            known = study.user_attrs.get(FINGERPRINT)
            if known is None and not study.get_trials(deepcopy=False):
                study.set_user_attr(FINGERPRINT, fingerprint(self.spec))
            elif known != fingerprint(self.spec):
                raise UsageError(
                    f"the storage has a study {worker.study!r} of something else; give this sweep "
                    f"another --name, or another --storage."
                )

    def run(
        self, executor: Executor, *, ended: Callable[[TrialInfo, int], None] | None = None
    ) -> None:
        """Run every trial that is left, and write the best settings.

        Args:
            executor: Where trials run.
            ended: Called with each trial that ends here, and how many are over by then.

        Raises:
            SearchInterrupted: A stop was requested; what ran is in the queue again.
            BalenasError: The storage does not answer, or there are no workers to be had.
        """
        worker = self._worker
        try:
            with open_workers(executor, worker) as workers, storage_errors(worker.storage):
                study = worker.open()
                while True:
                    recover(study, worker.folder, self.spec.attempts)
                    if is_left(study, self.spec):
                        items = range(self._left(study))
                        for _, outcome in as_done(
                            workers, items, executor.options, tick=_stop_if_asked
                        ):
                            self._tell(study, outcome.value, ended)
                    elif study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                        _stop_if_asked()
                        time.sleep(_POLLED_EVERY)  # others are at them, or are gone
                    else:
                        break
        finally:
            with storage_errors(worker.storage):
                recover(worker.open(), worker.folder, self.spec.attempts)
        self.write_best()

    def _left(self, study: optuna.Study) -> int:
        trials = study.get_trials(deepcopy=False)
        waiting = sum(trial.state == TrialState.WAITING for trial in trials)
        new = 0 if self.spec.rows else max(0, self.spec.trials - len(self.trials()))
        return waiting + new

    def _tell(
        self,
        study: optuna.Study,
        number: int | None,
        ended: Callable[[TrialInfo, int], None] | None,
    ) -> None:
        _stop_if_asked()
        if number is None or ended is None:
            return
        trial = study.get_trials(deepcopy=False)[number]
        first = trial.system_attrs.get("failed_trial", number)
        every = self.trials()
        over = sum(t.state in ("complete", "pruned", "fail") for t in every)
        for info in every:
            if info.number == first and info.state != "waiting":
                ended(info, over)

    def trials(self) -> list[TrialInfo]:
        """Return every trial, over all its tries."""
        with storage_errors(self._worker.storage):
            trials = self._worker.open().get_trials(deepcopy=False)
        last: dict[int, FrozenTrial] = {}
        for trial in trials:
            if SURPLUS not in trial.user_attrs:
                last[trial.system_attrs.get("failed_trial", trial.number)] = trial
        return [self._info(number, trial) for number, trial in sorted(last.items())]

    def _info(self, number: int, trial: FrozenTrial) -> TrialInfo:
        is_failed = trial.state == TrialState.FAIL
        is_complete = trial.state == TrialState.COMPLETE
        return TrialInfo(
            number,
            trial.state.name.lower(),
            tuple(trial.values or ()) if is_complete else (),
            dict(self.spec.rows[trial.user_attrs[ROW]] if self.spec.rows else trial.params),
            trial_folder(self.folder, trial),
            trial.user_attrs.get(ERROR, _LOST) if is_failed else None,
        )

    def retry_failed(self) -> int:
        """Put trials into the queue that have failed for good; return how many."""
        with storage_errors(self._worker.storage):
            study = self._worker.open()
            every = study.get_trials(deepcopy=False)
            numbers = {t.number for t in self.trials() if t.state == "fail"}
            last = {t.system_attrs.get("failed_trial", t.number): t for t in every}
            for number in sorted(numbers):
                requeue(study, last[number])
        return len(numbers)

    def best(self) -> list[TrialInfo]:
        """Return the best trial; of several objectives, those that no other beats in all."""
        with storage_errors(self._worker.storage):
            study = self._worker.open()
            if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
                return []
            best = study.best_trials if len(self.spec.objectives) > 1 else [study.best_trial]
        return [self._info(t.system_attrs.get("failed_trial", t.number), t) for t in best]

    @property
    def written(self) -> list[Path]:
        """The files of the best settings."""
        files = [self.folder / BEST, *sorted((self.folder / PARETO).glob("*.yaml"))]
        return [path for path in files if path.exists()]

    @property
    def dashboard(self) -> str | None:
        """What ``optuna-dashboard`` opens, without a password."""
        where = self._worker.storage
        return (
            without_password(where)
            if where not in (None, JOURNAL)
            else str(file_of(where, self.folder))
        )

    def write_best(self) -> None:
        """Write the settings of the best trials, as configurations of searches."""
        is_one = len(self.spec.objectives) == 1
        for path in self.written:
            path.unlink()
        for trial in self.best():
            name = BEST if is_one else f"{PARETO}/trial-{trial.number:04d}.yaml"
            document = dict(parse_yaml((trial.path / CONFIG).read_text(encoding="utf-8")).data)
            document.pop("output", None)
            _write(self.folder / name, dump_yaml(document))


def _write(path: Path, text: str) -> None:
    with output_errors(path):
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, lambda file: file.write(text.encode()))


def is_sweep(folder: Path) -> bool:
    """Whether a folder is that of a sweep."""
    return (folder / SPEC).is_file()


def _stop_if_asked() -> None:
    if is_stopping():
        raise SearchInterrupted("stopped; 'balenas resume' goes on")
