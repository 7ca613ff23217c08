"""Optional dependencies."""

from __future__ import annotations

import importlib
from types import ModuleType

from balenas_core.errors import DataError


def require(module: str, *, extra: str, dataset: str) -> ModuleType:
    """Import an optional module.

    Raises:
        DataError: It is not installed; the message has the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DataError(
            f"dataset {dataset!r} needs {module.partition('.')[0]}, which cannot be imported "
            f"({error}). Install it with: pip install 'balenas-core[{extra}]'"
        ) from error
