"""Trainings that two processes share."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close
from training_toys import HalfDeadSpace, job, registry, to_float, toy_data

from balenas_core.interfaces.space import Task
from balenas_timm import read_weights
from balenas_timm.training import train

SETTINGS = {"epochs": 3, "batch_size": 10, "lr": 0.1, "ema": 0.9, "accumulate": 2}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="needs torch.distributed"),
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Return the folder and the output of two processes."""
    folder = tmp_path_factory.mktemp("processes")
    script = Path(__file__).with_name("training_processes.py")
    process = subprocess.Popen(
        [
            sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2",
            "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", str(script), str(folder),
        ],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env=os.environ
        | {
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "PYTHONPATH": str(script.parent.parent),  # of the toys
        },
    )  # fmt: skip
    try:
        stdout, stderr = process.communicate(timeout=180)
    except subprocess.TimeoutExpired:
        # The launcher's end alone would leave its processes waiting for each other.
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 0, stderr
    return folder, sorted(stdout.splitlines())


def _metrics(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    records = map(json.loads, lines)
    return [{k: v for k, v in record.items() if k != "seconds"} for record in records]


def test_two_processes_train_as_one_does(shared, tmp_path):
    folder, _ = shared
    train(job(training=SETTINGS, output=tmp_path / "one"), registry=registry())
    one, two = (read_weights(f / "model.safetensors") for f in (tmp_path / "one", folder / "two"))
    assert one.keys() == two.keys()
    for name, weight in one.items():
        assert_close(two[name], weight, rtol=1e-4, atol=1e-6)
    for alone, together in zip(_metrics(tmp_path / "one"), _metrics(folder / "two"), strict=True):
        assert together == pytest.approx(alone, rel=1e-4)
    assert json.loads((folder / "two" / "result.json").read_text())["processes"] == 2
    assert json.loads((folder / "two" / "environment.json").read_text())["processes"] == 2


def test_the_first_process_alone_reports_and_writes(shared):
    _, lines = shared
    result = next(line for line in lines if line.startswith("rank 0: 18 steps"))
    assert result.endswith("run True")
    accuracy = result.split(", ")[1]
    assert f"rank 1: 0 steps, {accuracy}, run False" in lines


def test_a_stop_of_one_process_stops_both_and_they_go_on_to_the_same_bits(shared):
    folder, lines = shared
    for rank in (0, 1):
        assert f"rank {rank}: stopped after 1 epochs and 4 steps" in lines
        assert f"rank {rank}: done 3" in lines
    assert _metrics(folder / "cut") == _metrics(folder / "two")
    whole, cut = (read_weights(folder / name / "model.safetensors") for name in ("two", "cut"))
    assert all(torch.equal(cut[name], weight) for name, weight in whole.items())


def test_a_batch_that_cannot_be_shared_is_refused_in_every_process(shared):
    _, lines = shared
    for rank in (0, 1):
        text = "training.batch_size (9) must be a multiple of the number of processes, 2."
        assert f"rank {rank}: {text}" in lines


@torch.no_grad()
def test_the_network_that_is_tested_is_the_one_that_is_saved(shared):
    folder, _ = shared
    space = HalfDeadSpace()
    network = space.network(space.parse("conv-conv"), Task((1, 4, 4), 2))
    network.load_state_dict(read_weights(folder / "dead" / "model.safetensors"))
    images = toy_data().test
    logits = network.eval()(torch.stack([to_float(images[i]) for i in range(len(images))]))
    loss = F.cross_entropy(logits, torch.from_numpy(images.labels)).item()
    result = json.loads((folder / "dead" / "result.json").read_text())
    assert result["test_loss"] == pytest.approx(loss, rel=1e-5)
