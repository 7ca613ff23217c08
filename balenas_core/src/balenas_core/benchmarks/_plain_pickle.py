"""Small pickles of plain data."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from balenas_core.errors import DataError


class _PlainUnpickler(pickle.Unpickler):
    """Reads dicts, lists, strings and numbers; refuses anything that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it refers to {module}.{name}, and only plain data is read")

    def persistent_load(self, identifier: Any) -> Any:
        raise pickle.UnpicklingError(f"it refers to the external object {identifier!r}")


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    # Plain data has no cycles, and looking for some again and again takes six times as long as
    # reading a file of many small lists.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def load_plain_pickle(path: Path, *, remedy: str) -> Any:
    """Read a pickle of dicts, lists, strings and numbers, executing none of it.

    Args:
        path: The file.
        remedy: What the user should do about a bad file, a sentence for the message.

    Raises:
        DataError: The file is missing, truncated, not a pickle, or holds more than plain data.
    """
    try:
        with path.open("rb") as file, _without_garbage_collection():
            return _PlainUnpickler(file).load()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}. {remedy}") from error
    # A damaged pickle can raise nearly anything.
    except Exception as error:
        raise DataError(
            f"{path} is not a benchmark file: {type(error).__name__}: {error}. {remedy}"
        ) from error
