"""One trial: a search in its run directory, told to the study."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from balenas_core.engine.search import Search
from balenas_core.errors import BalenasError, RunLockedError, SearchInterrupted
from balenas_core.files import Holder
from balenas_core.interfaces.events import EpochEnded, Event
from balenas_core.random import derive_seed
from balenas_core.runs.listing import read_run
from balenas_sweep._recovery import EPOCHS, ROW, WORKER, recover, requeue, trial_folder
from balenas_sweep._spec import PRUNERS, SAMPLERS, Scalar, SweepSpec
from balenas_sweep._storage import open_storage, storage_errors

ERROR: Final = "error"
"""Attribute of a trial that has failed: why."""

SURPLUS: Final = "surplus"
"""Attribute of a trial that another worker had begun in the same moment."""

_RETRY: Final = "retry"
_AGAIN_EVERY = 2.0


class _Failed(Exception):
    """The trial has failed, and the study is told."""


class TrialWorker:
    """Takes the next trial of a study and runs it; ``call(slot)`` returns its number.

    Args:
        folder: Of the sweep.
        storage: Where the study is, with the password.
        study: Its name.
        spec: The sweep.
    """

    def __init__(self, folder: Path, storage: str | None, study: str, spec: SweepSpec) -> None:
        self.folder = folder
        self.storage = storage
        self.study = study
        self.spec = spec
        self._opened: BaseStorage | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Each process has its own connection.
        return {**self.__dict__, "_opened": None}

    def opened(self) -> BaseStorage:
        """Return the storage, connected once in a process."""
        if self._opened is None:
            self._opened = open_storage(self.storage, self.folder, self.spec)
        return self._opened

    def __call__(self, slot: int) -> int | None:
        """Run a trial; None where there is none to run.

        Raises:
            SearchInterrupted: A stop was requested; the trial is in the queue again.
            BalenasError: The storage does not answer.
        """
        with storage_errors(self.storage):
            study = self.open(slot)
            recover(study, self.folder, self.spec.attempts)
            if not is_left(study, self.spec):
                return None
            return self._run(study)

    def open(self, slot: int = 0) -> optuna.Study:
        """Return the study, with a sampler of its own for each trial and each worker."""
        study = optuna.load_study(
            study_name=self.study,
            storage=self.opened(),
            pruner=getattr(optuna.pruners, PRUNERS[self.spec.pruner])(),
        )
        count = len(study.get_trials(deepcopy=False))
        seed = derive_seed(self.spec.seed, "sampler", count, slot) % 2**32
        study.sampler = getattr(optuna.samplers, SAMPLERS[self.spec.sampler])(seed=seed)
        return study

    def _run(self, study: optuna.Study) -> int | None:
        numbers: list[int] = []

        def objective(trial: optuna.Trial) -> Any:
            numbers.append(trial.number)
            return self._objective(study, trial)

        def after(study: optuna.Study, trial: FrozenTrial) -> None:
            if trial.user_attrs.get(_RETRY):
                requeue(study, trial)

        try:
            study.optimize(objective, n_trials=1, catch=(_Failed,), callbacks=[after])
        except KeyboardInterrupt:
            for number in numbers:
                requeue(study, study.get_trials(deepcopy=False)[number])
            raise
        return numbers[0] if numbers else None

    def _objective(self, study: optuna.Study, trial: optuna.Trial) -> Any:
        trial.set_user_attr(WORKER, asdict(Holder.current()))
        known = study.get_trials(deepcopy=False)[trial.number]
        if _is_surplus(study, known, self.spec):
            trial.set_user_attr(SURPLUS, True)
            raise _Failed
        path = trial_folder(self.folder, known)
        trial.set_user_attr(EPOCHS, read_run(path).epochs_done)
        try:
            return self._values(trial, path, frozenset(known.intermediate_values))
        except optuna.TrialPruned:
            raise
        except Exception as error:  # one trial must not end a sweep
            trial.set_user_attr(ERROR, f"{type(error).__name__}: {error}")
            tries = len(known.system_attrs.get("retry_history", ())) + 1
            is_unexpected = not isinstance(error, BalenasError)
            trial.set_user_attr(_RETRY, is_unexpected and tries < self.spec.attempts)
            raise _Failed from error

    def _values(self, trial: optuna.Trial, path: Path, told: frozenset[int]) -> list[float]:
        spec = self.spec
        config = spec.settings.config(suggested(trial, spec), path)
        watcher = _Watcher(trial, spec, told)
        search = Search(config, listeners=[watcher])
        watcher.search = search
        while True:
            try:
                with _stoppable(search):
                    search.run(resume="allow")
                break
            except RunLockedError:  # a worker that was given up is still at it
                time.sleep(_AGAIN_EVERY)
            except SearchInterrupted as interruption:
                if watcher.is_pruned:
                    raise optuna.TrialPruned(str(interruption)) from interruption
                raise
        run = read_run(path)
        return [objective.value(run) for objective in spec.objectives]


class _Watcher:
    """Tells the study of each epoch, and stops the search where the pruner says so."""

    def __init__(self, trial: optuna.Trial, spec: SweepSpec, told: frozenset[int]) -> None:
        self._trial = trial
        self._metric = reported_metric(spec)
        self._is_pruning = spec.pruner != "none"
        self._told = told
        self.search: Search | None = None
        self.is_pruned = False

    def __call__(self, event: Event) -> None:
        if not isinstance(event, EpochEnded) or self._metric is None:
            return
        value = event.metrics.get(self._metric)
        if not isinstance(value, int | float) or event.epoch in self._told:
            return
        self._trial.report(float(value), event.epoch)
        if self._is_pruning and self._trial.should_prune() and self.search is not None:
            self.is_pruned = True
            self.search.request_stop()


def reported_metric(spec: SweepSpec) -> str | None:
    """Return the metric of epochs that goes the way of the objective; None for several."""
    if len(spec.objectives) > 1:
        return None
    if spec.report is not None:
        return spec.report
    is_up = spec.objectives[0].direction == "maximize"
    return "validation_accuracy" if is_up else "validation_loss"


def suggested(trial: optuna.Trial, spec: SweepSpec) -> dict[str, Scalar]:
    """Return dotted key -> value of what makes a trial different from others."""
    if spec.rows:
        # They are decided by now; asking for them lets the study know them, too.
        row = spec.rows[trial.user_attrs[ROW]]
        for key in row:
            trial.suggest_categorical(key, spec.values_of(key))
        return dict(row)
    values: dict[str, Scalar] = {}
    for dimension in spec.dimensions:
        key = dimension.key
        if dimension.choices:
            chosen = trial.suggest_categorical(key, dimension.choices)
            assert chosen is not None, "no choice is None"
            values[key] = chosen
            continue
        assert dimension.low is not None
        assert dimension.high is not None
        if dimension.is_integer:
            low, high = int(dimension.low), int(dimension.high)
            values[key] = trial.suggest_int(key, low, high, log=dimension.is_log)
        else:
            values[key] = trial.suggest_float(
                key, dimension.low, dimension.high, log=dimension.is_log
            )
    return values


def is_left(study: optuna.Study, spec: SweepSpec) -> bool:
    """Whether there is a trial to begin."""
    trials = study.get_trials(deepcopy=False)
    if any(trial.state == TrialState.WAITING for trial in trials):
        return True
    return not spec.rows and sum(map(_is_first_try, trials)) < spec.trials


def _is_first_try(trial: FrozenTrial) -> bool:
    return "failed_trial" not in trial.system_attrs and SURPLUS not in trial.user_attrs


def _is_surplus(study: optuna.Study, trial: FrozenTrial, spec: SweepSpec) -> bool:
    """Whether a trial came into being because two workers asked for the last one."""
    if "failed_trial" in trial.system_attrs:
        return False
    if spec.rows:
        return ROW not in trial.user_attrs
    earlier = (t for t in study.get_trials(deepcopy=False) if t.number < trial.number)
    return sum(map(_is_first_try, earlier)) >= spec.trials


_lock = threading.Lock()
_current: list[Search] = []
_is_stopping = False


@contextmanager
def _stoppable(search: Search) -> Iterator[None]:
    with _lock:
        _current.append(search)
        if _is_stopping:
            search.request_stop()
    try:
        yield
    finally:
        with _lock:
            _current.remove(search)


def request_stop() -> None:
    """Ask the search of this process to save its state and stop; safe in signal handlers."""
    global _is_stopping
    _is_stopping = True
    for search in [*_current]:
        search.request_stop()


def is_stopping() -> bool:
    """Whether a stop was requested."""
    return _is_stopping


def forget_stop() -> None:
    """Begin anew, in a process that runs several sweeps."""
    global _is_stopping
    _is_stopping = False
