"""Files and directories that are written whole, and what a killed writer leaves."""

import os
import subprocess
import sys

import pytest

from balenas_core.files import unfinished_directory, write_atomically

_WRITE = """
import sys, time
from pathlib import Path
from balenas_core.files import write_atomically
write_atomically(Path(sys.argv[1]), lambda file: (print("writing", flush=True), time.sleep(60)))
"""
_MAKE = """
import sys, time
from pathlib import Path
from balenas_core.files import unfinished_directory
with unfinished_directory(Path(sys.argv[1])) as made:
    (made / "part").write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def write(path):
    write_atomically(path, lambda file: file.write(b"whole"))


def make(path):
    with unfinished_directory(path) as made:
        assert made.is_dir()


@pytest.mark.parametrize("code", [_WRITE, _MAKE])
@pytest.mark.parametrize("again", [write, make])
def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path, code, again):
    path = tmp_path / "a[1]*.bin"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout.readline() == "writing\n"
        (left,) = tmp_path.iterdir()
        again(path)
        assert left.exists()  # its writer lives
        process.kill()
    again(path)
    assert not left.exists()
    assert {entry.name for entry in tmp_path.iterdir()} <= {path.name}


def test_files_of_others_are_left_alone(tmp_path):
    kept = [tmp_path / ".other.bin.x.unfinished", tmp_path / "a.bin.x.unfinished"]
    for path in kept:
        path.write_text("")
    link = tmp_path / ".a.bin.link.unfinished"
    link.symlink_to(kept[0])
    write(tmp_path / "a.bin")
    assert all(path.exists() for path in kept)
    assert (tmp_path / "a.bin").read_bytes() == b"whole"


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    def fail(file):
        file.write(b"half")
        raise OSError("full")

    write(tmp_path / "a.bin")
    with pytest.raises(OSError, match="full"):
        write_atomically(tmp_path / "a.bin", fail)
    with (
        pytest.raises(OSError, match="full"),
        unfinished_directory(tmp_path / "a.bin") as made,
        (made / "x").open("wb") as file,
    ):
        fail(file)
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"whole"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_what_is_no_regular_file_is_not_replaced(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(OSError, match="no regular file"):
        write_atomically(path, lambda file: file.write(b"x"))
    assert path.is_fifo()
    assert list(tmp_path.iterdir()) == [path]
