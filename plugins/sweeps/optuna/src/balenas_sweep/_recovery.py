"""Trials whose worker is gone, put into the queue again."""

from __future__ import annotations

import copy
import datetime
import socket
import warnings
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.trial import FrozenTrial, TrialState

from balenas_core.files import Holder
from balenas_core.runs.listing import read_run

WORKER: Final = "worker"
"""Attribute of a trial: the process that works at it."""

EPOCHS: Final = "epochs_before"
"""Attribute of a trial: epochs of its run when it was begun, or gone on with."""

LOSSES: Final = "losses"
"""Attribute of a trial: how often in a row it got no further."""

ROW: Final = "row"
"""Attribute of a trial of a grid or a list: its place there."""

_KEPT = (ROW, LOSSES)
_NAMELESS_FOR = 60.0
"""Seconds after which a trial counts as lost that does not even say who works at it."""


def trial_folder(folder: Path, trial: Any) -> Path:
    """Return the run directory of a trial: that of the first try, which later ones go on with."""
    number = trial.system_attrs.get("failed_trial", trial.number)
    return folder / f"trial-{number:04d}"


def requeue(study: optuna.Study, trial: FrozenTrial) -> None:
    """Put a trial that has failed into the queue, to go on in its run directory."""
    again = copy.deepcopy(trial)
    # What its last worker has said of it does not hold for the next one.
    kept = {name: again.user_attrs[name] for name in _KEPT if name in again.user_attrs}
    again.user_attrs = kept
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        RetryHeartbeatStaleTrialCallback(inherit_intermediate_values=True)(study, again)


def requeue_lost(study: optuna.Study, trial: FrozenTrial, folder: Path, attempts: int) -> None:
    """Put a trial whose worker is gone into the queue, unless it has ended several already.

    Args:
        study: Its study.
        trial: The trial, which counts as failed.
        folder: Of the sweep.
        attempts: How often in a row it may get no further.
    """
    done = read_run(trial_folder(folder, trial)).epochs_done
    has_moved = done > trial.user_attrs.get(EPOCHS, 0)
    losses = 0 if has_moved else trial.user_attrs.get(LOSSES, 0) + 1
    if losses >= attempts:
        return
    again = copy.deepcopy(trial)
    again.user_attrs[LOSSES] = losses
    requeue(study, again)


def recover(study: optuna.Study, folder: Path, attempts: int) -> None:
    """Put every trial into the queue whose worker is known to be gone.

    Workers of this machine are looked up; those of others are gone when their heartbeat stops,
    where the storage keeps heartbeats.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        fail_stale_trials(study)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if not _is_lost(trial):
            continue
        try:
            study.tell(trial.number, state=TrialState.FAIL)
        except (UpdateFinishedTrialError, ValueError):  # another worker has found it first
            continue
        requeue_lost(study, trial, folder, attempts)


def _is_lost(trial: FrozenTrial) -> bool:
    who = trial.user_attrs.get(WORKER)
    if who is None:
        begun = trial.datetime_start
        now = datetime.datetime.now()
        return begun is not None and (now - begun).total_seconds() > _NAMELESS_FOR
    return who["host"] == socket.gethostname() and not Holder(**who).may_live
