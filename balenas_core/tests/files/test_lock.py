"""One process at a time in a run directory."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys

import pytest

from balenas_core.errors import RunLockedError
from balenas_core.files._lock import LOCK, Holder, RunLock, holder

_HOLD = """
import sys, time
from pathlib import Path
from balenas_core.files._lock import RunLock
lock = RunLock.acquire(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds the lock of ``tmp_path``."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_refused_and_told_who_holds_the_run(tmp_path, other):
    with pytest.raises(
        RunLockedError, match=rf"in use by process {other.pid} on .*, since \d"
    ) as e:
        RunLock.acquire(tmp_path)
    assert e.value.exit_code == 1
    assert holder(tmp_path).pid == other.pid


def test_the_lock_of_a_killed_process_is_stale(tmp_path, other, caplog):
    caplog.set_level("INFO")
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert json.loads((tmp_path / LOCK).read_text())["pid"] == other.pid
    assert holder(tmp_path) is None
    lock = RunLock.acquire(tmp_path)
    assert f"process {other.pid}" in caplog.text
    assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    lock.release()


def test_a_released_lock_leaves_no_file_and_can_be_taken_again(tmp_path):
    for _ in range(2):
        lock = RunLock.acquire(tmp_path)
        with pytest.raises(RunLockedError):
            RunLock.acquire(tmp_path)
        lock.release()
        lock.release()
        assert not (tmp_path / LOCK).exists()


def test_a_child_does_not_keep_the_lock_of_a_killed_parent(tmp_path):
    code = _HOLD.replace(
        'print("held", flush=True)',
        'import os\npid = os.fork()\nif pid:\n    print("held", pid, flush=True)',
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with process:
        child = int(process.stdout.readline().split()[1])
        process.kill()
        process.wait()
        try:
            RunLock.acquire(tmp_path).release()
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.fixture
def without_locks(monkeypatch):
    """A file system that knows no locks, such as some of a network."""

    def unsupported(*args, **kwargs):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr("balenas_core.files._lock.system_lock", unsupported)


def _leave(folder, **changes):
    who = vars_of(Holder.current()) | changes
    (folder / LOCK).write_text(json.dumps(who))


def vars_of(who):
    return {name: getattr(who, name) for name in ("pid", "host", "since", "started")}


def test_without_system_locks_a_living_process_keeps_the_run(tmp_path, without_locks):
    _leave(tmp_path)
    with pytest.raises(RunLockedError, match=f"process {os.getpid()}"):
        RunLock.acquire(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"pid": 2**22 + 1},  # more than Linux gives
        {"started": "1"},  # the number was given to another process since
    ],
)
def test_without_system_locks_a_dead_process_does_not(tmp_path, without_locks, changes):
    _leave(tmp_path, **changes)
    RunLock.acquire(tmp_path).release()


def test_without_system_locks_another_machine_is_believed(tmp_path, without_locks):
    _leave(tmp_path, host="elsewhere", pid=1)
    with pytest.raises(RunLockedError, match=rf"on elsewhere.*remove {tmp_path / LOCK}"):
        RunLock.acquire(tmp_path)


def test_a_half_written_lock_file_does_not_block(tmp_path):
    (tmp_path / LOCK).write_text('{"pid": 12')
    RunLock.acquire(tmp_path).release()


def test_the_lock_of_a_file_is_beside_it_and_ends_with_its_process(tmp_path):
    file = tmp_path / "scores.csv"
    code = _HOLD.replace("RunLock.acquire(", "RunLock.acquire_file(")
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(file)], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout.readline() == "held\n"
        assert [entry.name for entry in tmp_path.iterdir()] == [".scores.csv.lock"]
        with pytest.raises(RunLockedError, match=f"being written by process {process.pid} on "):
            RunLock.acquire_file(file)
        process.kill()
    lock = RunLock.acquire_file(file)
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_nothing_can_be_made_is_locked_itself(tmp_path, monkeypatch):
    file = tmp_path / "scores.csv"
    made = os.open

    def refuse(path, flags, *mode):
        if flags & os.O_CREAT:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return made(path, flags, *mode)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionError):  # there is nothing to lock
        RunLock.acquire_file(file)
    monkeypatch.undo()
    file.write_text("architecture\n")
    monkeypatch.setattr(os, "open", refuse)
    lock = RunLock.acquire_file(file)
    with pytest.raises(RunLockedError, match="being written by another process"):
        RunLock.acquire_file(file)
    lock.release()
    assert file.read_text() == "architecture\n"
    RunLock.acquire_file(file).release()
