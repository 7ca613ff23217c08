"""Where Optuna keeps a study: a SQLite file, a journal, or a database by its URL."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from balenas_core.errors import BalenasError, UsageError
from balenas_sweep._recovery import requeue_lost
from balenas_sweep._spec import SweepSpec

JOURNAL: Final = "journal"
_DATABASE, _LOG = "study.db", "study.log"
_BEATS_OF_GRACE = 3
_LOCKED_FOR = 120
"""Seconds for which a worker waits for another that writes the same SQLite file."""


def open_storage(where: str | None, folder: Path, spec: SweepSpec) -> BaseStorage:
    """Open the storage of a sweep.

    Args:
        where: A URL of SQLAlchemy; ``journal`` for a journal in the folder; None for a SQLite file
            there.
        folder: Of the sweep.
        spec: How often trials give signs of life, and how often they are tried.

    Raises:
        UsageError: The URL is none, or its driver is not installed.
        BalenasError: The database does not answer.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if where == JOURNAL:
        return JournalStorage(JournalFileBackend(str(file_of(where, folder))))
    url = where or f"sqlite:///{file_of(None, folder).resolve()}"
    is_file = _parsed(url).get_backend_name() == "sqlite"
    # A server's connections are few, and a worker seldom needs one: none is kept open.
    waits = {"connect_args": {"timeout": _LOCKED_FOR}} if is_file else {"poolclass": NullPool}
    try:
        with storage_errors(url), _quiet():
            return RDBStorage(
                url,
                engine_kwargs=waits,
                heartbeat_interval=spec.heartbeat,
                grace_period=_BEATS_OF_GRACE * spec.heartbeat,
                heartbeat_stale_trial_callback=lambda study, trial: requeue_lost(
                    study, trial, folder, spec.attempts
                ),
            )
    except ImportError as error:
        raise UsageError(
            f"--storage {shown(url)} needs a driver that is not installed ({error}). For "
            f"PostgreSQL: pip install 'balenas-sweep[postgresql]'."
        ) from error


def file_of(where: str | None, folder: Path) -> Path:
    """Return the file in the folder of a sweep, where the study is in one."""
    return folder / (_LOG if where == JOURNAL else _DATABASE)


@contextmanager
def storage_errors(where: str | None) -> Iterator[None]:
    """Say that a database does not answer, instead of what its driver says.

    Raises:
        BalenasError: The block raised an error of the database.
    """
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error
        reason = str(getattr(cause, "orig", None) or cause or error).strip().partition("\n")[0]
        raise BalenasError(
            f"the study's storage {shown(where)} does not answer: {reason.rstrip('.')}. Start it, "
            f"or correct --storage; trials that are done are kept, and the same command goes on."
        ) from error
    except RuntimeError as error:
        if "version" not in str(error):
            raise
        raise UsageError(
            f"the study's storage {shown(where)} is of another version of Optuna: {error}"
        ) from error


def shown(where: str | None) -> str:
    """Return a storage as messages and files have it: without its password."""
    if where is None or where == JOURNAL:
        return where or "in the sweep's folder"
    try:
        return make_url(where).render_as_string(hide_password=True)
    except ArgumentError:
        return where


def without_password(where: str | None) -> str | None:
    """Return a storage as it may be written down.

    Raises:
        UsageError: It is none.
    """
    if where is None or where == JOURNAL:
        return where
    url = _parsed(where)
    return url.set(password=None).render_as_string() if url.password is not None else where


def _parsed(where: str) -> URL:
    try:
        return make_url(where)
    except ArgumentError as error:
        raise UsageError(
            f"--storage {where!r} is no URL of a database; write it as "
            f"postgresql+psycopg://USER@HOST/NAME or sqlite:///FILE, or give journal."
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from saying that heartbeats may change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
