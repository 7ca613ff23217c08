"""Checkpoint files: what is written, kept, refused and found damaged."""

from __future__ import annotations

import errno
import hashlib
import io
from collections import OrderedDict

import numpy as np
import pytest
import torch

from balenas_core.errors import DamagedError
from balenas_core.runs.checkpoints import Checkpoints, check_plain


def _write(store, count, *, start=0):
    for step in range(start, start + count):
        store.write({"step": step, "w": torch.full((3,), float(step))}, epoch=0, step=step)


def test_the_newest_checkpoint_is_read_back(tmp_path):
    store = Checkpoints(tmp_path / "checkpoints")
    _write(store, 3)
    found = store.newest()
    assert found.state["step"] == 2
    assert torch.equal(found.state["w"], torch.full((3,), 2.0))
    assert found.path.name == f"epoch-0000-step-00000002-{found.checksum}.pt"


@pytest.mark.parametrize("keep", [1, 2, 5])
def test_the_last_few_are_kept(tmp_path, keep):
    store = Checkpoints(tmp_path / "checkpoints", keep=keep)
    _write(store, 7)
    steps = [int(path.name.split("-")[3]) for path in store.paths()]
    assert steps == list(range(6, 6 - keep, -1))


def test_a_finished_epoch_is_newer_than_its_last_step(tmp_path):
    store = Checkpoints(tmp_path / "checkpoints")
    store.write({"at": "end"}, epoch=1, step=8)
    store.write({"at": "evaluation"}, epoch=0, step=8)
    assert store.newest().state == {"at": "end"}


def _truncate(data):
    return data[: len(data) // 2]


def _flip(data):
    place = len(data) // 2
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize("damage", [_truncate, _flip, lambda data: b"", lambda data: data + b"0"])
def test_a_damaged_checkpoint_is_reported_and_the_one_before_is_used(tmp_path, caplog, damage):
    store = Checkpoints(tmp_path / "checkpoints")
    _write(store, 2)
    newest, before = store.paths()
    newest.write_bytes(damage(newest.read_bytes()))
    assert store.newest().state["step"] == 0
    assert f"checkpoint {newest} is damaged" in caplog.text
    assert f"going on from {before.name}" in caplog.text
    store.tidy(store.newest())
    assert store.paths() == [before]


def test_nothing_is_found_where_all_are_damaged_or_none_was_written(tmp_path, caplog):
    store = Checkpoints(tmp_path / "checkpoints")
    assert store.newest() is None
    assert caplog.text == ""
    _write(store, 2)
    for path in store.paths():
        path.write_bytes(b"")
    assert store.newest() is None
    assert "and no other is left" in caplog.text


def test_what_a_killed_write_left_is_removed(tmp_path):
    store = Checkpoints(tmp_path / "checkpoints")
    _write(store, 1)
    left = store.folder / ".epoch-0000-step-00000001-x.pt.abc.unfinished"
    left.write_bytes(b"half")
    other = store.folder / "notes.txt"
    other.write_text("mine")
    store.tidy(store.newest())
    assert not left.exists()
    assert other.exists()
    assert store.newest().state["step"] == 0


def test_a_write_that_fails_leaves_the_checkpoints_before(tmp_path, monkeypatch):
    store = Checkpoints(tmp_path / "checkpoints")
    _write(store, 2)
    before = {path: path.read_bytes() for path in store.paths()}

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("balenas_core.files._atomic.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        _write(store, 1, start=2)
    assert {path: path.read_bytes() for path in store.folder.iterdir()} == before


def test_a_checkpoint_that_would_run_code_is_not_loaded(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    buffer = io.BytesIO()
    torch.save({"state": Evil()}, buffer)
    data = buffer.getvalue()
    checksum = hashlib.sha256(data).hexdigest()[:32]
    store = Checkpoints(tmp_path)
    (tmp_path / f"epoch-0000-step-00000000-{checksum}.pt").write_bytes(data)
    with pytest.raises(DamagedError, match="Weights only load failed"):
        store.newest()


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": {"b": np.float64(1)}}, r"state\.a\.b is of type numpy\.float64"),
        ({"a": [1, {2}]}, r"state\.a\[1\] is of type builtins\.set"),
        ({(1, object()): 0}, r"state key\[1\] is of type builtins\.object"),
    ],
)
def test_a_state_that_could_not_be_read_back_is_refused(value, place):
    with pytest.raises(TypeError, match=place):
        check_plain(value)


def test_tensors_and_plain_data_are_accepted_and_survive(tmp_path):
    state = {
        "tensor": torch.arange(3, dtype=torch.float64),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "ordered": OrderedDict(a=1),
        "mixed": [None, True, 1.5, "text", (1, 2), b"bytes", torch.Size([2]), torch.float16],
        1: 0.1 + 0.2,
    }
    store = Checkpoints(tmp_path / "checkpoints")
    store.write(state, epoch=0, step=0)
    read = store.newest().state
    assert read["mixed"] == state["mixed"]
    assert read[1] == state[1]
    assert read["ordered"] == state["ordered"]
    assert torch.equal(read["parameter"], state["parameter"])
