"""Files that are either the old or the new version, never half of one."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from balenas_core.files._system_lock import UNSUPPORTED, is_same_file, system_lock

_SUFFIX = ".unfinished"


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Call ``write(file)`` on a temporary file beside ``path`` and move it there.

    What a killed process left of an earlier try is removed. A link is replaced, not followed.

    Raises:
        OSError: The file cannot be written, or there is a device, a FIFO or a folder in its
            place; ``path`` is unchanged.
    """
    _check_replaceable(path)
    _remove_leftovers(path)
    file, temporary = _claimed_file(path)
    try:
        with file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask())
            if os.name == "posix":  # while the lock is held, so that nobody takes it for left
                temporary.replace(path)
        if os.name != "posix":
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


@contextmanager
def unfinished_directory(path: Path) -> Iterator[Path]:
    """Yield a directory beside ``path`` to make something in, which is removed at the end.

    What a killed process left of an earlier try is removed, too.

    Raises:
        OSError: It cannot be made.
    """
    _remove_leftovers(path)
    made, descriptor = _claimed_directory(path)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


def is_unfinished(path: Path) -> bool:
    """Whether ``path`` is what a killed process left of a file that it was writing."""
    return path.name.startswith(".") and path.name.endswith(_SUFFIX)


def remove_unfinished(path: Path) -> None:
    """Remove a file or a directory that a killed process has left.

    Raises:
        OSError: It cannot be removed.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _claimed_file(path: Path) -> tuple[IO[bytes], Path]:
    """Return a new file beside ``path`` that this process has locked for as long as it is open."""
    while True:
        descriptor, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=_SUFFIX
        )
        temporary = Path(name)
        # Another process may have taken it for left before it was locked.
        if _claim(descriptor) is not False and is_same_file(descriptor, temporary):
            return os.fdopen(descriptor, "wb"), temporary
        os.close(descriptor)
        temporary.unlink(missing_ok=True)


def _claimed_directory(path: Path) -> tuple[Path, int | None]:
    """Return a new directory beside ``path``, and the descriptor that locks it."""
    while True:
        made = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=_SUFFIX))
        if os.name != "posix":  # a directory cannot be opened there
            return made, None
        descriptor = os.open(made, os.O_RDONLY)
        if _claim(descriptor) is not False and is_same_file(descriptor, made):
            return made, descriptor
        os.close(descriptor)
        shutil.rmtree(made, ignore_errors=True)


def _remove_leftovers(path: Path) -> None:
    """Remove what processes that were killed left of ``path``; living ones hold locks."""
    for left in path.parent.glob(f".{_literal(path.name)}.*{_SUFFIX}"):
        # Another process may remove the same; who cannot remove it can write all the same.
        with contextlib.suppress(OSError):
            descriptor = os.open(left, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | _NONBLOCK)
            try:
                if _claim(descriptor) and is_same_file(descriptor, left):
                    remove_unfinished(left)
            finally:
                os.close(descriptor)


_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
"""A pipe of this name must not make a writer wait."""


def _literal(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _claim(descriptor: int) -> bool | None:
    """Lock a file; None where the file system knows no locks."""
    try:
        system_lock(descriptor)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        return None
    return True


def _check_replaceable(path: Path) -> None:
    """Refuse to put a file in the place of something that programs know by its name."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        raise OSError(errno.EINVAL, "something that is no regular file is there")


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current


def _sync_directory(path: Path) -> None:
    # Without this a crash of the machine can lose the rename; Windows has no such call.
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
