"""Files that are opened only if they are what they seem."""

from __future__ import annotations

import json
import os

import pytest

from balenas_core.errors import DamagedError
from balenas_core.files import (
    LOCK,
    RunLock,
    append_to,
    holder,
    open_in_place,
    read_regular,
)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs links and FIFOs")


@pytest.fixture
def victim(tmp_path):
    """A file that a link leads to."""
    path = tmp_path / "victim"
    path.write_text("precious")
    return path


def _link(path, victim):
    path.symlink_to(victim)


def _dangling(path, victim):
    path.symlink_to(victim.with_name("new"))


def _fifo(path, victim):
    os.mkfifo(path)


def _folder(path, victim):
    path.mkdir()


KINDS = {_link: "symbolic link", _dangling: "symbolic link", _fifo: "FIFO", _folder: "folder"}


@pytest.mark.parametrize(("make", "told"), KINDS.items())
@pytest.mark.parametrize(
    "use",
    [
        lambda path: append_to(path, b"more"),
        open_in_place,
        lambda path: RunLock.acquire(path.parent),
        lambda path: holder(path.parent),
    ],
)
def test_what_is_no_regular_file_is_neither_written_nor_waited_for(
    tmp_path, victim, make, told, use
):
    path = tmp_path / LOCK
    make(path, victim)
    with pytest.raises(DamagedError, match=rf"{path} is a {told}.*not a regular file"):
        use(path)
    assert victim.read_text() == "precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["lock", "victim"]


def test_a_link_to_a_regular_file_can_be_read_and_one_to_a_device_can_not(tmp_path, victim):
    link, device = tmp_path / "link", tmp_path / "device"
    link.symlink_to(victim)
    assert read_regular(link, limit=8) == b"precious"
    device.symlink_to("/dev/zero")
    with pytest.raises(DamagedError, match="device is a symbolic link, not a regular file"):
        read_regular(device, limit=8)


def test_a_file_that_is_too_large_is_not_read(victim):
    with pytest.raises(DamagedError, match="victim is damaged: it has 8 bytes"):
        read_regular(victim, limit=7)


def test_a_loop_of_links_is_no_file(tmp_path):
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(DamagedError, match="symbolic link"):
        read_regular(loop, limit=8)


@pytest.mark.parametrize(
    "text",
    [
        "", "{}", "[" * 10_000, "\xff", '{"pid": 0, "host": "h", "since": "s", "started": null}',
        json.dumps({"pid": "1", "host": 2, "since": [], "started": {}}),
        json.dumps({"pid": 10**40, "host": "h", "since": "s", "started": None}),
    ],
)  # fmt: skip
def test_a_lock_with_any_content_can_be_taken(tmp_path, text):
    (tmp_path / LOCK).write_text(text, encoding="latin-1")
    assert holder(tmp_path) is None
    lock = RunLock.acquire(tmp_path)
    assert holder(tmp_path).pid == os.getpid()
    lock.release()
