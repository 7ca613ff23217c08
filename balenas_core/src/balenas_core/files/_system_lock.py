"""The lock that the operating system holds for a process on an open file."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

UNSUPPORTED = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})
"""Where the file system knows no locks."""

if sys.platform == "win32":
    import msvcrt

    # The byte lies behind the text, which must stay readable.
    _LOCKED_BYTE = 1 << 20

    def system_lock(descriptor: int, *, is_probe: bool = False) -> None:
        """Lock an open file, until it is closed.

        Args:
            descriptor: The file.
            is_probe: Whether to see only whether it can be locked.

        Raises:
            BlockingIOError, PermissionError: Another process has the lock.
            OSError: The file system knows no locks.
        """
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        if is_probe:
            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def system_lock(descriptor: int, *, is_probe: bool = False) -> None:
        """Lock an open file, until it is closed.

        Args:
            descriptor: The file, or the directory.
            is_probe: Whether to see only whether it can be locked.

        Raises:
            BlockingIOError, PermissionError: Another process has the lock.
            OSError: The file system knows no locks.
        """
        kind = fcntl.LOCK_SH if is_probe else fcntl.LOCK_EX
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)


def is_same_file(descriptor: int, path: Path) -> bool:
    """Whether an open file still is what stands at ``path``."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
