"""Paths that a user typed."""

from __future__ import annotations

from pathlib import Path

from balenas_core.errors import DataError
from balenas_core.plugins.suggest import did_you_mean_file


def expanded(path: Path, *, key: str) -> Path:
    """Return ``path`` with ``~`` expanded.

    Args:
        path: As typed.
        key: The option it came from, for the message.

    Raises:
        DataError: There is no such home folder.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise DataError(f"{key}: {error} Got {str(path)!r}; write the path out.") from error


def existing(path: Path, *, key: str) -> Path:
    """Return ``path`` with ``~`` expanded.

    Args:
        path: As typed.
        key: The option it came from, for the message.

    Raises:
        DataError: There is no such file or folder; the message suggests a close one.
    """
    path = expanded(path, key=key)
    try:
        path.stat()
    except FileNotFoundError as error:
        raise DataError(f"{key}: no such file or folder: {path}.{_nearest(path)}") from error
    except (OSError, ValueError) as error:  # ValueError: a null character
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{key}: cannot access {str(path)!r}: {reason}. Check the path.") from error
    return path


def _nearest(path: Path) -> str:
    missing = path
    while not missing.parent.exists():
        missing = missing.parent
    try:
        siblings = [entry.name for entry in missing.parent.iterdir()]
    except OSError:
        siblings = []
    hint = did_you_mean_file(missing.name, siblings)
    if hint:
        return hint
    return f" {missing.parent.resolve()} exists, but nothing called {missing.name!r} is in it."
