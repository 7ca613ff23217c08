"""From errors of the operating system to what to do about them."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from balenas_core.errors import OutputError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def output_errors(path: Path, *, verb: str = "write") -> Iterator[None]:
    """Turn an ``OSError`` inside the block into an ``OutputError`` about ``path``."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot {verb} {path}: {error.strerror or error}. {_remedy(path, error)}"
        ) from error


def _remedy(path: Path, error: OSError) -> str:
    if error.errno in _FULL:
        return "Free some space, or choose another place with --output."
    if error.errno == errno.ENOENT and not _exists(path.parent):
        return f"Its directory was removed, or the disk of {path.parent} is gone."
    if error.errno == errno.ENAMETOOLONG:
        return "Choose a shorter name with --output."
    return "Choose a writable place with free space with --output."


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False
