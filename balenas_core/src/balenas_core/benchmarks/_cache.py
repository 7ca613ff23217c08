"""Where converted benchmark files are kept."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from balenas_core.errors import DataError, OutputError
from balenas_core.files import write_atomically

if TYPE_CHECKING:
    from balenas_core.benchmarks._table import Table

CACHE_VARIABLE = "BALENAS_CACHE"


def cache_folder() -> Path:
    """Return ``$BALENAS_CACHE``, or ``balenas`` in the platform's folder for caches.

    Raises:
        DataError: The user has no home folder.
    """
    given = os.environ.get(CACHE_VARIABLE)
    try:
        return Path(given).expanduser() if given else _platform_folder() / "balenas"
    except RuntimeError as error:
        raise DataError(
            f"there is no folder for caches: {error} Set {CACHE_VARIABLE} to a folder."
        ) from error


def _platform_folder() -> Path:
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return Path(local) if local else Path.home() / "AppData" / "Local"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    # The XDG rules: a relative path there is to be ignored.
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return given if given.is_absolute() else Path.home() / ".cache"


def table_path(space: str) -> Path:
    """Return where the imported results of a space are kept, whether or not they exist."""
    return cache_folder() / "benchmarks" / f"{space}.npz"


def installed_table(space: str) -> Path | None:
    """Return the file of the results that were imported for a space, if there is one."""
    path = table_path(space)
    return path if path.is_file() else None


def install_table(table: Table, path: Path) -> None:
    """Write a table, replacing the file only when all of it is written.

    Raises:
        OutputError: The file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, table.write)
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}. "
            f"Give another file, or set {CACHE_VARIABLE} to a folder that can be written."
        ) from error
