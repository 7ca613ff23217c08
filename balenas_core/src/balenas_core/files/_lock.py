"""One process at a time in a run directory, or on a file that grows.

The operating system holds the lock, so that it ends with its process, however that ends. The
file says who holds it; where the file system knows no locks, that alone decides.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import socket
import sys
import time
import weakref
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from balenas_core.errors import DamagedError, RunLockedError
from balenas_core.files._regular import open_regular
from balenas_core.files._system_lock import UNSUPPORTED, is_same_file, system_lock

_log = logging.getLogger(__name__)

LOCK = "lock"

_SIZE = 1 << 12
"""Bytes of a lock's file; it has about a hundred."""
# `holder` takes the lock for an instant to see whether it can.
_ATTEMPTS, _PAUSE = 5, 0.02
_NO_RIGHT = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a run.

    Args:
        pid: Its number.
        host: The machine it runs on.
        since: When it took the run, as ISO 8601.
        started: When the process began, in the kernel's own units; tells it from a later one
            with the same number.
    """

    pid: int
    host: str
    since: str
    started: str | None

    @classmethod
    def current(cls) -> Self:
        """Return this process."""
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        return cls(os.getpid(), socket.gethostname(), now, _start_of(os.getpid()))

    def __str__(self) -> str:
        """One phrase with all that is known."""
        return f"process {self.pid} on {self.host}, since {self.since}"

    @property
    def may_live(self) -> bool:
        """Whether the process may still run; on another machine nobody can tell."""
        if self.host != socket.gethostname():
            return True
        if sys.platform == "win32":  # where os.kill(pid, 0) would end the process
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return self.started == _start_of(self.pid)


class RunLock:
    """The right of this process to write a run directory, or a file.

    It is made by ``acquire`` or ``acquire_file``.
    """

    def __init__(self, path: Path, descriptor: int, *, is_own: bool = True) -> None:
        self._path = path
        self._descriptor: int | None = descriptor
        self._is_own = is_own

    @classmethod
    def acquire(cls, folder: Path) -> Self:
        """Take the lock of a run directory.

        Raises:
            RunLockedError: Another process has it.
            DamagedError: The lock is no regular file.
            OSError: The lock's file cannot be written.
        """
        path = folder / LOCK
        found = cls._take(path)
        if found is None:
            raise in_use(folder, _read_at(path))
        return found

    @classmethod
    def acquire_file(cls, file: Path) -> Self:
        """Take the lock of a file that may not exist yet: ``.NAME.lock`` beside it.

        In a folder where nothing can be made, the file itself is locked.

        Raises:
            RunLockedError: Another process has it.
            DamagedError: The lock is no regular file.
            OSError: The lock cannot be written, and there is no such file.
        """
        file = file.resolve()  # two names of one file have one lock
        path = file.with_name(f".{file.name}.{LOCK}")
        try:
            found = cls._take(path)
        except OSError as error:
            if error.errno not in _NO_RIGHT or not file.is_file():
                raise
            path, found = file, cls._take_itself(file)
        if found is None:
            advice = "" if path == file else f"; if it does not run any more, remove {path}"
            raise RunLockedError(
                f"{file} is being written by {_read_at(path) or 'another process'}. Wait for it, "
                f"or choose another file with --output{advice}."
            )
        return found

    @classmethod
    def _take(cls, path: Path) -> Self | None:
        """Return the lock that stands at ``path``, None where another process has it."""
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(_PAUSE)
            descriptor = open_regular(path, os.O_RDWR | os.O_CREAT)
            try:
                is_free = _try_lock(descriptor)
                # A holder removes the file when it ends: then this is a lock on nothing.
                if is_free and is_same_file(descriptor, path):
                    lock = cls(path, descriptor)
                    lock._sign()
                    return lock
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
        return None

    @classmethod
    def _take_itself(cls, file: Path) -> Self | None:
        """Lock a file by itself, which says nothing of who holds it."""
        descriptor = open_regular(file, os.O_RDONLY)
        if not _try_lock(descriptor):
            os.close(descriptor)
            return None
        lock = cls(file, descriptor, is_own=False)
        _close_in_children(lock)
        return lock

    def release(self) -> None:
        """Give the run, or the file, free."""
        if self._descriptor is None:
            return
        with contextlib.suppress(OSError):
            if self._is_own and is_same_file(self._descriptor, self._path):
                self._path.unlink()
        self._forget()

    def _sign(self) -> None:
        assert self._descriptor is not None
        before = _read(self._descriptor)
        if before is not None:
            _log.info("%s ended without releasing %s", before, self._path.parent)
        text = json.dumps(asdict(Holder.current())) + "\n"
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, text.encode())
        _close_in_children(self)

    def _forget(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def holder(folder: Path) -> Holder | None:
    """Return who holds the lock of a run directory; None if nobody does.

    Raises:
        DamagedError: The lock is no regular file.
    """
    try:
        descriptor = open_regular(folder / LOCK, os.O_RDONLY)
    except OSError:
        return None
    try:
        who = _read(descriptor)
        return None if _try_lock(descriptor, is_probe=True) else who
    finally:
        os.close(descriptor)


def in_use(folder: Path, who: Holder | None) -> RunLockedError:
    """Return the error that says who holds a run directory."""
    return RunLockedError(
        f"run {folder} is in use by {who or 'another process'}. Wait for it, or end it first; "
        f"if it does not run any more, remove {folder / LOCK}."
    )


def _read_at(path: Path) -> Holder | None:
    try:
        descriptor = open_regular(path, os.O_RDONLY)
    except (OSError, DamagedError):  # removed since
        return None
    try:
        return _read(descriptor)
    finally:
        os.close(descriptor)


def _read(descriptor: int) -> Holder | None:
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        found = Holder(**json.loads(os.read(descriptor, _SIZE)))
    except (OSError, ValueError, TypeError, RecursionError):  # none, or half written
        return None
    texts = (found.host, found.since, found.started or "")
    is_process = isinstance(found.pid, int) and 0 < found.pid < 1 << 31
    return found if is_process and all(isinstance(text, str) for text in texts) else None


def _try_lock(descriptor: int, *, is_probe: bool = False) -> bool:
    """Whether the lock is free; unless ``is_probe``, it is this process's from then on."""
    try:
        system_lock(descriptor, is_probe=is_probe)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        who = _read(descriptor)
        return who is None or not who.may_live
    return True


def _start_of(pid: int) -> str | None:
    """Return when a process began, where /proc tells."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text.rpartition(")")[2].split()[19]


_held: weakref.WeakSet[RunLock] = weakref.WeakSet()
_watches_forks = False


def _close_in_children(lock: RunLock) -> None:
    """Leave the lock to this process alone.

    A forked process, such as one that loads images, shares the open file: it would keep the
    lock of a killed parent until it notices.
    """
    global _watches_forks
    _held.add(lock)
    if not _watches_forks and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forget_all)
        _watches_forks = True


def _forget_all() -> None:
    for lock in list(_held):
        lock._forget()
