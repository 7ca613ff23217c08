"""The lines of epochs: appended, held, and made anew from what is held."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from balenas_core.interfaces.space import Decision
from balenas_core.runs.epoch_log import EpochLog, records

_DECISIONS = (Decision("cell", ("a",), ("skip", "conv")),)
FILES = ("metrics.jsonl", "distribution.jsonl")


def _append(log, epoch):
    log.append({"epoch": epoch, "loss": 0.5}, _DECISIONS, {"cell": torch.tensor([[0.25, 0.75]])})


@pytest.fixture
def log(tmp_path):
    """The log of a run of two epochs."""
    log = EpochLog(tmp_path)
    log.restore(None)
    _append(log, 0)
    _append(log, 1)
    return log


def _content(folder):
    return {name: (folder / name).read_bytes() for name in FILES if (folder / name).exists()}


def test_what_is_held_is_what_was_written(log, tmp_path):
    held = log.state_dict()
    assert {f"{name}.jsonl": text.encode() for name, text in held.items()} == _content(tmp_path)
    assert [record["epoch"] for record in records(held["metrics"].encode())] == [0, 1]
    assert held["distribution"].count("\n") == 3


def test_lines_after_the_checkpoint_are_cut_off_without_a_word(log, tmp_path, caplog):
    held, before = log.state_dict(), _content(tmp_path)
    _append(log, 2)
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"epoch": 3, "lo')
    again = EpochLog(tmp_path)
    again.restore(held)
    assert _content(tmp_path) == before
    assert caplog.text == ""
    _append(again, 2)
    assert again.state_dict()["metrics"] == (tmp_path / "metrics.jsonl").read_text()


def _wrong_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[data.index(b"\n") + 3] = 0xFF
    path.write_bytes(data)


def _carriage_returns(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


def _second_line(line: bytes):
    def damage(path: Path) -> None:
        lines = path.read_bytes().split(b"\n")
        path.write_bytes(b"\n".join([lines[0], line, *lines[2:]]))

    return damage


def _shortened(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def _linked(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_wrong_byte, "differs in line 2"),
        (_carriage_returns, "differs in line 1"),
        (_second_line(b"{}"), "differs in line 2"),
        (_second_line(b"[]"), "differs in line 2"),
        (_second_line(b"[" * 200_000), "differs in line 2"),
        (_shortened, "differs in line "),
        (Path.unlink, "is missing"),
        (_linked, "is no regular file"),
        (_fifo, "is no regular file"),
    ],
)
def test_what_differs_is_written_anew_with_its_place(log, tmp_path, caplog, name, damage, told):
    held, before = log.state_dict(), _content(tmp_path)
    damage(tmp_path / name)
    elsewhere = tmp_path / "elsewhere"
    linked = elsewhere.read_bytes() if elsewhere.exists() else None
    EpochLog(tmp_path).restore(held)
    assert _content(tmp_path) == before
    assert (tmp_path / name).is_file()
    assert not (tmp_path / name).is_symlink()
    (warning,) = caplog.messages
    assert f"{tmp_path / name} {told}" in warning
    assert warning.endswith("; written anew from the checkpoint")
    if linked is not None:
        assert elsewhere.read_bytes() == linked


def test_a_training_has_no_distribution(tmp_path):
    log = EpochLog(tmp_path)
    log.restore(None)
    log.append({"epoch": 0})
    assert list(_content(tmp_path)) == ["metrics.jsonl"]
    EpochLog(tmp_path).restore(log.state_dict())
    assert list(_content(tmp_path)) == ["metrics.jsonl"]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (b'{"epoch": 1}\n', "line 1: it is of epoch 1, not 0"),
        (b'{"epoch": 0}\n{"epoch": "1"}\n', r"line 2: epoch: .* valid integer \(got '1'\)"),
        (b'{"epoch": 0}\n{"epo', "line 2: it has no end"),
        (b'{"epoch": 0}\n\xff\n', "line 2: expected value"),
    ],
)
def test_a_damaged_record_is_named(lines, told):
    with pytest.raises(ValueError, match=told):
        records(lines)
