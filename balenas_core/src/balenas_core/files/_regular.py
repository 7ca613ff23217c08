"""Files that are what they seem: opened without following a link, and without waiting.

A run directory may come from elsewhere. A link in it would lead a write to any file of the user,
and a FIFO would hold up whoever opens it.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import IO

from balenas_core.errors import DamagedError

_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_ALWAYS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
# What opening a link, a folder, or a FIFO without a reader ends in.
_IRREGULAR = frozenset({errno.ELOOP, errno.EMLINK, errno.EISDIR, errno.ENXIO})


def open_regular(path: Path, flags: int, *, follows: bool = False) -> int:
    """Open a regular file as ``os.open`` does, and return the descriptor.

    Args:
        path: The file.
        flags: Flags of ``os.open``.
        follows: Whether a link to a regular file will do; for reading only.

    Raises:
        DamagedError: It is a link, a folder, a FIFO or a device.
        OSError: It cannot be opened.
    """
    if not follows and not _NO_LINK and path.is_symlink():
        raise _irregular(path)
    try:
        descriptor = os.open(path, flags | _ALWAYS | (0 if follows else _NO_LINK), 0o666)
    except OSError as error:
        if error.errno in _IRREGULAR and _kind(path) is not None:
            raise _irregular(path) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _irregular(path)
    return descriptor


def append_to(path: Path, data: bytes, *, is_synced: bool = False) -> None:
    """Append to a regular file, which is made if there is none.

    Args:
        path: The file.
        data: What is appended.
        is_synced: Whether to push it to the disk.

    Raises:
        DamagedError: It is no regular file.
        OSError: It cannot be written.
    """
    descriptor = open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with os.fdopen(descriptor, "ab") as file:
        file.write(data)
        if is_synced:
            file.flush()
            os.fsync(file.fileno())


def open_in_place(path: Path) -> IO[bytes]:
    """Open a regular file for reading and writing where it stands.

    Raises:
        DamagedError: It is no regular file.
        OSError: It cannot be opened.
    """
    return os.fdopen(open_regular(path, os.O_RDWR), "r+b")


def read_regular(path: Path, *, limit: int) -> bytes:
    """Return the content of a regular file, or of one that a link leads to.

    Args:
        path: The file.
        limit: Bytes that it may have.

    Raises:
        DamagedError: It is no regular file, or too large.
        OSError: It cannot be read.
    """
    with os.fdopen(open_regular(path, os.O_RDONLY, follows=True), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise DamagedError(f"{path} is damaged: it has {size:,} bytes.")
        return file.read()


def _irregular(path: Path) -> DamagedError:
    return DamagedError(
        f"{path} is {_kind(path) or 'a link to something that is not'} a regular file. It is left "
        f"alone; look at it, and remove it."
    )


def _kind(path: Path) -> str | None:
    """Return what a path is instead of a regular file, up to the words "a regular file"."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return None
    if stat.S_ISLNK(mode):
        return "a symbolic link, not"
    if stat.S_ISDIR(mode):
        return "a folder, not"
    return None if stat.S_ISREG(mode) else "a FIFO, a socket or a device, not"
