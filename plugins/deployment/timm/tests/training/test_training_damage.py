"""Trainings, and exports of a supernet, with files that are not what was written there."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil

import pytest
import torch
from training_toys import EVERYTHING, job, registry

from balenas_core import Search, SearchConfig
from balenas_core.errors import ConfigChangedError, DamagedError, SearchInterrupted
from balenas_core.interfaces.events import StepEnded
from balenas_core.runs.directory import RunDirectory
from balenas_timm.export import from_run
from balenas_timm.recipes import TRAINING
from balenas_timm.training import Training, train


@pytest.fixture(scope="module")
def found():
    return registry()


@pytest.fixture(scope="module")
def _stopped(tmp_path_factory, found):
    """A training that was stopped in its last epoch."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    training = Training(job(space="helped", training=EVERYTHING, output=folder), registry=found)

    def stop(event):
        if isinstance(event, StepEnded) and (event.epoch, event.step) == (2, 4):
            training.request_stop()

    training._listeners.append(stop)
    with pytest.raises(SearchInterrupted):
        training.run()
    return folder


@pytest.fixture
def stopped(_stopped, tmp_path):
    return shutil.copytree(_stopped, tmp_path / "run")


def _go_on(folder, found):
    settings = job(space="helped", training=EVERYTHING, output=folder)
    return train(settings, registry=found, resume="must")


def _replace(path, change):
    """Put another state where a checkpoint was, under a name that fits it."""
    state = torch.load(path, weights_only=True)
    change(state)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    checksum = hashlib.sha256(buffer.getvalue()).hexdigest()[:32]
    path.unlink()
    (path.parent / f"{path.stem.rpartition('-')[0]}-{checksum}.pt").write_bytes(buffer.getvalue())


def _other_shapes(state):
    network = state["loop"].get("network") or state["loop"]["supernet"]
    name = next(name for name, value in network.items() if value.dim())
    network[name] = torch.zeros(17, 3)


@pytest.mark.parametrize("line", [b"{}", b"[]", b"\xff", b"[" * 200_000])
def test_damaged_metrics_are_made_anew_from_the_checkpoint(stopped, found, caplog, line):
    path = stopped / "metrics.jsonl"
    first, second = path.read_bytes().splitlines()
    path.write_bytes(first + b"\n" + line + b"\n")
    _go_on(stopped, found)
    lines = path.read_bytes().splitlines()
    assert lines[:2] == [first, second]
    assert len(lines) == 3
    assert f"{path} differs in line 2" in caplog.text
    assert not (stopped / "distribution.jsonl").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda state: state.pop("last"), "is damaged: last: field required"),
        (_other_shapes, "does not fit: RuntimeError: .*size mismatch"),
        (lambda state: state["loop"].pop("optimizer"), "does not fit: KeyError: 'optimizer'"),
    ],
)
def test_a_checkpoint_of_other_content_is_passed_over(stopped, found, caplog, change, told):
    newest, before = RunDirectory(stopped, kind=TRAINING).checkpoints.paths()
    _replace(newest, change)
    result = _go_on(stopped, found)
    assert result.epochs == 3
    (warning,) = [text for text in caplog.messages if "going on from" in text]
    assert before.name in warning

    assert re.search(told, warning)


def test_where_no_checkpoint_fits_a_training_is_refused_and_left_as_it_is(stopped, found):
    for path in RunDirectory(stopped, kind=TRAINING).checkpoints.paths():
        _replace(path, _other_shapes)
    before = {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()}
    with pytest.raises(DamagedError, match="No other checkpoint is left"):
        _go_on(stopped, found)
    assert {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()} == before


@pytest.fixture(scope="module")
def _searched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("searched") / "run"
    config = SearchConfig(
        space={"name": "nb201", "channels": 4, "cells_per_stage": 1},
        optimizer="adam",
        selector="argmax",
        data="digits",
        training={"epochs": 2, "batch_size": 256},
        output=folder,
    )
    Search(config).run()
    return folder


@pytest.fixture
def searched(_searched, tmp_path):
    return shutil.copytree(_searched, tmp_path / "run")


def test_inherited_weights_come_from_the_newest_checkpoint_that_fits(searched, caplog):
    newest, before = RunDirectory(searched).checkpoints.paths()
    _replace(newest, _other_shapes)
    source = from_run(searched, is_inherited=True)
    assert f"going on from {before.name}" in caplog.text
    assert source.weights.startswith("inherited")
    _replace(before, _other_shapes)
    with pytest.raises(DamagedError, match=r"size mismatch.*No other checkpoint is left"):
        from_run(searched, is_inherited=True)


def test_inherited_weights_of_another_configuration_are_refused(searched):
    newest = RunDirectory(searched).checkpoints.paths()[0]
    _replace(newest, lambda state: state["config"]["training"].update(lr=0.5))
    with pytest.raises(ConfigChangedError, match=r"another configuration[^$]*training\.lr: .*0\.5"):
        from_run(searched, is_inherited=True)


def test_inherited_weights_may_be_from_before_an_option_was_there(searched):
    newest = RunDirectory(searched).checkpoints.paths()[0]
    _replace(newest, lambda state: state["config"].pop("processes"))
    assert from_run(searched, is_inherited=True).weights.startswith("inherited")


def test_a_damaged_status_is_named(searched):
    (searched / "status.json").write_text(json.dumps({"status": "done", "config": {"seed": "x"}}))
    with pytest.raises(DamagedError, match=r"status\.json is damaged: config\.space: field"):
        from_run(searched)
