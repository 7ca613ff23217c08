"""Further selections of a run, each a file in its directory."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from balenas_core.errors import UsageError
from balenas_core.files import output_errors
from balenas_core.runs.directory import SELECTIONS, RunDirectory
from balenas_core.runs.stored import StoredSelection, read_stored

_LONGEST_NAME = 200  # a file's has 255 bytes, and one that is being written has more than this
_NAME = re.compile(r"\w[\w.+-]*")


def selection_file(run: Path, selector: str, name: str | None = None) -> Path:
    """Return where a selection is kept: ``synflow > train`` in ``synflow-train.json``.

    Raises:
        UsageError: The name is none for a file.
    """
    name = name or re.sub(r"\s*>\s*", "-", selector).replace(":", "-")
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"a selection's name is made of letters, digits and '.+-_' (got {name!r}); choose "
            f"another with --name."
        )
    if len(name.encode()) > _LONGEST_NAME:
        raise UsageError(
            f"a selection's name has at most {_LONGEST_NAME} characters (got {len(name)}: "
            f"{name[:40]}...); choose a shorter one with --name."
        )
    return run / SELECTIONS / f"{name}.json"


def refuse_another(file: Path, selector: Mapping[str, Any]) -> None:
    """Check that a selection that is there was made by the same selector with the same options.

    Raises:
        UsageError: It was not.
        DamagedError: It cannot be read.
    """
    stored = read_stored(file, StoredSelection, "Remove it to choose anew.")["selector"]
    if stored != selector:
        raise UsageError(
            f"{file} was made by another selector, {stored['name']!r}, or with other options; "
            f"name this selection with --name, or remove that file."
        )


def write_selection(run: RunDirectory, file: Path, value: Mapping[str, Any]) -> None:
    """Write a selection, atomically.

    Raises:
        OutputError: It cannot be written.
    """
    with output_errors(file.parent):
        file.parent.mkdir(exist_ok=True)
    run.write_json(str(file.relative_to(run.path)), value)
