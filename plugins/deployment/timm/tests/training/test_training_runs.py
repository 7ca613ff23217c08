"""Directories of trainings: what is in them, kills at any moment, damage, changes, signals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from training_toys import EVERYTHING, job, make, outcome, registry

from balenas_core.errors import (
    ConfigChangedError,
    DivergenceError,
    OutputError,
    RunExistsError,
    RunLockedError,
    SearchInterrupted,
)
from balenas_core.interfaces.events import EpochEnded, StepEnded
from balenas_core.runs.directory import RunDirectory
from balenas_timm import load_network
from balenas_timm.recipes import training_job
from balenas_timm.training import Training, TrainingStarted, train

KILLS = 15


@pytest.fixture(scope="module")
def found():
    return registry()


@pytest.fixture(scope="module")
def whole(tmp_path_factory, found):
    """An uninterrupted training."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(make(folder), registry=found)
    return folder


def test_a_directory_holds_recipe_environment_metrics_result_and_weights(whole, found):
    names = {path.name for path in whole.iterdir()}
    assert names == {
        "recipe.yaml", "environment.json", "status.json", "metrics.jsonl", "checkpoints",
        "result.json", "model.safetensors",
    }  # fmt: skip
    recipe = yaml.safe_load((whole / "recipe.yaml").read_text())
    assert recipe["training"]["mixup"] == 0.2
    assert json.loads((whole / "environment.json").read_text())["processes"] == 1
    result = json.loads((whole / "result.json").read_text())
    assert result["epochs"] == 3
    assert result["test_images"] == 20
    assert result["auxiliary_parameters"] == 16 * 2 + 2
    # Stem, two 1x1 convolutions and classifier of the toy network, and the normalisation.
    assert result["parameters"] == (4 + 4) + 2 * (16 + 4) + (8 + 2) + 2
    lines = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1, 2]
    assert [line["drop_path"] for line in lines] == pytest.approx([0.0, 0.1, 0.2])
    assert lines[-1]["test_accuracy"] == result["test_accuracy"]


def test_the_saved_weights_are_those_that_were_tested(whole, found):
    network = load_network(whole / "model.safetensors", found)
    dataset = found.find("dataset", "toy").build(None)
    images = torch.stack([dataset.normalize(image) for image in dataset.test])
    with torch.no_grad():
        correct = network(images).argmax(-1).numpy() == dataset.test.labels
    result = json.loads((whole / "result.json").read_text())
    assert 100 * correct.mean() == pytest.approx(result["test_accuracy"])


def test_the_same_seed_gives_the_same_training_and_another_seed_another(whole, tmp_path, found):
    train(make(tmp_path / "again"), registry=found)
    assert outcome(tmp_path / "again") == outcome(whole)
    train(make(tmp_path / "other", seed=1), registry=found)
    assert outcome(tmp_path / "other")[2] != outcome(whole)[2]


def test_a_training_sends_its_events_in_order(found):
    events = []
    train(job(), registry=found, listeners=[events.append])
    assert isinstance(events[0], TrainingStarted)
    assert (events[0].epochs, events[0].steps_per_epoch) == (3, 8)
    kinds = [type(event) for event in events[1:]]
    assert kinds == [*[StepEnded] * 8, EpochEnded] * 3


def test_a_training_that_is_done_is_read(whole, found):
    events = []
    result = train(make(whole), registry=found, listeners=[events.append], resume="must")
    assert events == []
    assert result.to_dict() == json.loads((whole / "result.json").read_text())
    assert result.run == whole


def test_a_damaged_result_is_said(whole, tmp_path, found):
    folder = tmp_path / "run"
    train(make(folder), registry=found)
    (folder / "result.json").write_text('{"epochs": 3}')
    with pytest.raises(OutputError, match=r"result.json is damaged.*makes it anew"):
        train(make(folder), registry=found, resume="must")


def test_an_output_that_holds_a_training_is_refused(whole, found):
    with pytest.raises(RunExistsError, match=f"'balenas train {whole}'"):
        train(make(whole), registry=found)


def test_a_directory_gives_its_own_settings_back(whole, found):
    again = training_job(whole, registry=found)
    assert again.output == whole
    assert again.model_dump(exclude={"output"}) == make(whole).model_dump(exclude={"output"})


def _killed_after(folder, found, epochs):
    """Stop a training in the middle of an epoch."""
    training = Training(make(folder), registry=found)

    def stop(event):
        if isinstance(event, StepEnded) and (event.epoch, event.step) == (epochs, 4):
            training.request_stop()

    training._listeners.append(stop)
    with pytest.raises(SearchInterrupted, match=f"stopped after {epochs} epochs and 6 steps"):
        training.run()


def test_a_stopped_training_goes_on_to_the_same_result(whole, tmp_path, found):
    folder = tmp_path / "cut"
    _killed_after(folder, found, 1)
    assert json.loads((folder / "status.json").read_text())["status"] == "interrupted"
    events = []
    train(make(folder), registry=found, listeners=[events.append], resume="must")
    assert events[0].epochs_done == 1
    assert (events[1].epoch, events[1].step) == (1, 6)
    assert outcome(folder) == outcome(whole)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(whole, tmp_path, found, caplog):
    folder = tmp_path / "cut"
    _killed_after(folder, found, 1)
    newest, *older = RunDirectory(folder).checkpoints.paths()
    assert older
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    train(make(folder), registry=found, resume="must")
    assert f"going on from {older[0].name}" in caplog.text
    assert outcome(folder) == outcome(whole)


def test_changed_settings_are_refused_by_name(tmp_path, found):
    folder = tmp_path / "cut"
    _killed_after(folder, found, 0)
    changed = {**EVERYTHING, "lr": 0.5}
    with pytest.raises(ConfigChangedError, match=r"training.lr: 0.01 in the training, 0.5 now"):
        train(job(space="helped", training=changed, output=folder), registry=found, resume="allow")
    # Where it runs is free.
    train(make(folder, checkpoint={"every_steps": 1}), registry=found, resume="allow")


def test_another_number_of_processes_is_said_when_a_training_goes_on(tmp_path, found, caplog):
    folder = tmp_path / "cut"
    _killed_after(folder, found, 0)
    path = folder / "environment.json"
    environment = json.loads(path.read_text())
    path.write_text(json.dumps({**environment, "processes": 2}))
    train(make(folder), registry=found, resume="must")
    assert "was started with 2 processes and goes on with 1" in caplog.text


def test_a_second_process_is_refused(tmp_path, found):
    folder = tmp_path / "cut"
    _killed_after(folder, found, 0)
    run = RunDirectory(folder)
    run.lock()
    try:
        with pytest.raises(RunLockedError, match="is in use by process"):
            train(make(folder), registry=found, resume="must")
    finally:
        run.release()


def test_a_divergence_says_what_to_change_and_keeps_the_checkpoint(tmp_path, found):
    settings = {"epochs": 2, "batch_size": 8, "lr": 1e30, "clip": None}
    with pytest.raises(DivergenceError) as raised:
        train(job(training=settings, output=tmp_path / "out"), registry=found)
    text = str(raised.value)
    assert "the training diverged in epoch 0, step" in text
    assert "Lower training.lr (now 1e+30)" in text
    assert f"kept in {tmp_path / 'out'}" in text
    assert json.loads((tmp_path / "out" / "status.json").read_text())["status"] == "failed"


def test_without_test_images_a_part_of_the_training_set_is_held_out(found, caplog):
    result = train(job(data="untested"), registry=found)
    assert result.is_held_out
    assert result.test_images == 6  # a tenth of 64
    assert "untested has no test images: 6 of the training images are tested on" in caplog.text


def test_the_test_can_be_rarer_than_epochs(found):
    ended = []
    settings = {"epochs": 3, "batch_size": 8, "lr": 0.1, "test_every": 2}
    train(job(training=settings), registry=found, listeners=[ended.append])
    metrics = [event.metrics for event in ended if isinstance(event, EpochEnded)]
    assert [m["test_accuracy"] is None for m in metrics] == [True, False, False]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("where", ["anywhere", "writing"])
def test_a_training_killed_at_random_points_ends_bit_identical(tmp_path, where):
    # A copy of this process, in which other tests may have left threads, might wait for them.
    script = Path(__file__).with_name("training_kills.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), where, str(KILLS)],
        env=os.environ | {"PYTHONPATH": str(script.parent.parent)},  # of the toys
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 1
