"""Small pickles of plain data."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from balenas_core.errors import DataError


class _PlainUnpickler(pickle.Unpickler):
    """Reads dicts, lists, strings and numbers; refuses anything that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it refers to {module}.{name}, and only plain data is read")

    def persistent_load(self, identifier: Any) -> Any:
        raise pickle.UnpicklingError(f"it refers to the external object {identifier!r}")


def load_plain_pickle(path: Path, *, remedy: str) -> Any:
    """Read a pickle of dicts, lists, strings and numbers, executing none of it.

    Args:
        path: The file.
        remedy: What the user should do about a bad file, a sentence for the message.

    Raises:
        DataError: The file is missing, truncated, not a pickle, or holds more than plain data.
    """
    try:
        with path.open("rb") as file:
            return _PlainUnpickler(file).load()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}. {remedy}") from error
    # A damaged pickle can raise nearly anything.
    except Exception as error:
        raise DataError(
            f"{path} is not a benchmark file: {type(error).__name__}: {error}. {remedy}"
        ) from error
