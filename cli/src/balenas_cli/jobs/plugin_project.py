"""Writes the files of a new plugin."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from balenas_core.errors import OutputError, UsageError


def write_project(folder: Path, files: Mapping[str, str]) -> None:
    """Write a project into a folder that does not exist, or is empty.

    Raises:
        UsageError: The folder has files in it.
        OutputError: It cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists; choose another place with --output.")
    try:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror}.") from error
