"""``balenas train``."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

pytest.importorskip("balenas_timm")

ARCH = ("train", "conv-conv", "--space", "toy", "--threads", "1")
QUICK = ("--epochs", "2", "--batch-size", "256")
SEARCH = (
    "search", "--space", "toy", "--optimizer", "toy_adam", "--selector", "toy_params",
    "--check-epochs", "0",
    "--epochs", "1", "--batch-size", "256", "--draws", "16", "--output", "runs/found", "--quiet",
)  # fmt: skip


def test_a_run_is_trained_below_its_directory_by_name(call, tmp_path):
    assert call(*SEARCH).code == 0
    answer = call("train", "found", *QUICK, "--threads", "1")
    assert answer.code == 0, answer.err
    assert "\nepoch 1/2  train " in answer.err
    assert "  test " in answer.err.splitlines()[-1]
    folder = tmp_path / "runs" / "found" / "training"
    result = json.loads((folder / "result.json").read_text())
    found = json.loads((tmp_path / "runs" / "found" / "result.json").read_text())
    assert result["architecture"] == found["architecture"]
    assert (result["preset"], result["epochs"], result["dataset"]) == ("quick", 2, "digits")
    accuracy, lines = f"{result['test_accuracy']:.2f} % accuracy", answer.out.splitlines()
    assert lines[0] == found["architecture"]
    assert any(line.startswith("test") and accuracy in line for line in lines)
    assert "on 359 test images of digits" in answer.out

    again = call("train", "found", *QUICK)
    assert again.code == 2
    assert (
        "already holds a run; go on with it with 'balenas train runs/found/training'" in again.err
    )

    shown = call("train", "runs/found/training", "--json")
    assert shown.code == 0
    assert "runs/found/training is done already; this is its result" in shown.err
    assert json.loads(shown.out) == {**result, "run": "runs/found/training"}

    listed = json.loads(call("runs", "list", "--json").out)
    assert [run["path"] for run in listed] == ["runs/found"]


def test_another_candidate_is_trained_by_its_rank(call, tmp_path):
    assert call(*SEARCH).code == 0
    answer = call("train", "found", "--rank", "2", *QUICK, "--json", "--output", "second")
    assert answer.code == 0, answer.err
    assert set(answer.err.splitlines()) == {"a plugin that prints"}  # which is no result
    found = json.loads((tmp_path / "runs" / "found" / "result.json").read_text())
    assert json.loads(answer.out)["architecture"] == found["candidates"][1]["architecture"]
    refused = call("train", "found", "--rank", "99", *QUICK, "--output", "third")
    assert refused.code == 2
    assert f"the candidates 1 to {len(found['candidates'])}" in refused.err


def test_a_run_that_is_not_done_is_refused(call, tmp_path):
    run = tmp_path / "runs" / "half"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("space: toy\n")
    names = {kind: {"name": "toy"} for kind in ("space", "data")}
    config = {**names, "seed": 0, "training": {"epochs": 5}}
    status = {"status": "interrupted", "config": config}
    (run / "status.json").write_text(json.dumps(status))
    answer = call("train", "half")
    assert answer.code == 2
    assert answer.err == (
        "error: run runs/half is interrupted after 0 of 5 epochs: it has chosen no architecture "
        "yet. Finish it with 'balenas resume runs/half'.\n"
    )


def test_several_seeds_are_shown_with_their_mean(call, tmp_path):
    answer = call(*ARCH, *QUICK, "--seeds", "3,5", "--output", "out", "--quiet")
    assert answer.code == 0, answer.err
    results = [
        json.loads((tmp_path / f"out-seed{seed}" / "result.json").read_text()) for seed in (3, 5)
    ]
    assert [result["seed"] for result in results] == [3, 5]
    values = [result["test_accuracy"] for result in results]
    mean, half = sum(values) / 2, abs(values[0] - values[1]) / 2**0.5
    assert f"{mean:.2f} ± {half:.2f} %" in answer.out


def test_settings_come_from_set_over_flags_over_the_file_over_the_preset(call, tmp_path):
    (tmp_path / "mine.yaml").write_text("preset: quick\ntraining: {epochs: 7, batch_size: 7}\n")
    answer = call(
        *ARCH, "-c", "mine.yaml", "--batch-size", "8", "--lr", "0.3", "--set", "training.lr=0.4",
        "--dry-run", "--json",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    job = json.loads(answer.out)
    training = job["training"]
    assert (training["epochs"], training["batch_size"], training["lr"]) == (7, 8, 0.4)
    assert (job["preset"], job["space"]["name"], job["threads"]) == ("quick", "toy", 1)
    assert job["output"].startswith("runs/")
    assert job["output"].endswith("-toy-train-seed0")
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_prints_settings_that_train_the_same(call, tmp_path):
    printed = call(*ARCH, *QUICK, "--dry-run", "--output", "first").out
    (tmp_path / "all.yaml").write_text(printed)
    again = call("train", "conv-conv", "-c", "all.yaml", "--dry-run").out
    assert again == printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "runs/nothing"), "error: runs/nothing is no directory of a run; to train an "
         "architecture, name its space with --space."),
        (("train", "conv-conv", "--space", "toi"), "--space: no space called 'toi'. Did you mean "
         "'toy'?"),
        ((*ARCH, "--preset", "nb20"), "error: no recipe called 'nb20'. Did you mean 'nb201'?"
         " Installed: darts-cifar, nb201, quick."),
        ((*ARCH, "--preset", "nb201"), "error: --preset nb201 is for networks of space 'nb201', "
         "and this one is of 'toy'."),
        ((*ARCH, "--rank", "2"), "error: --rank chooses a candidate of a run, and conv-conv is "
         "none."),
        ((*ARCH, "--seeds", "1,x"), "--seeds must be different whole numbers, such as 0,1,2 (got "
         "'1,x')."),
        ((*ARCH, "--seeds", "1,2", "--seed", "3"), "--seed is one seed and --seeds are several"),
        ((*ARCH, "--resume", "perhaps"), "error: --resume must be never, allow or must (got "
         "'perhaps')."),
        ((*ARCH, "--resume", "must", "--output", "x"), "error: x holds no run to go on with: "
         "there is no x/recipe.yaml."),
        ((*ARCH, "--data-root", "x"), "error: --data-root: dataset 'digits' is in no file or"),
        ((*ARCH, "--epochs", "0"), "error: --epochs: must be at least 1 (got 0)"),
        ((*ARCH, "--precision", "half"), "--precision: must be 'float32', 'bfloat16' or"),
        (("train", "conv-pool", "--space", "toy"), "error: expected two of"),
        (("train", "x" * 5000, "--space", "toy"), "error: expected two of"),
    ],
)  # fmt: skip
def test_a_bad_request_is_one_line_that_says_what_to_type(call, tmp_path, arguments, message):
    answer = call(*arguments)
    assert answer.code == 2, answer.err
    assert message in answer.err
    assert answer.out == ""
    assert not (tmp_path / "runs").exists()


def test_a_number_of_processes_without_a_launcher_is_refused(call, monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    answer = call(*ARCH, "--output", "out")
    assert (answer.code, answer.out) == (2, "")
    (line,) = [line for line in answer.err.splitlines() if line != "a plugin that prints"]
    assert line.startswith("error: WORLD_SIZE=2 says that 2 processes share this work, but RANK, ")
    assert not (tmp_path / "out").exists()


def test_without_balenas_timm_the_remedy_is_said(call, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "balenas_cli.plans.train_plan", raising=False)
    answer = call(*ARCH)
    assert answer.code == 2
    assert answer.err == "error: 'balenas train' needs balenas-timm: pip install balenas-timm\n"
    monkeypatch.delitem(sys.modules, "balenas_cli.plans.train_plan", raising=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_a_training_that_was_ended_goes_on_to_the_same_result(
    call, toy_environment, tmp_path, name
):
    arguments = (*ARCH, "--epochs", "12", "--batch-size", "64")
    assert call(*arguments, "--output", "whole", "--quiet").code == 0
    process = subprocess.Popen(
        [
            sys.executable, "-m", "balenas_cli", *arguments, "--output", "cut",
            "--set", "training.workers=1",
        ],
        cwd=tmp_path, env=toy_environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    next(line for line in iter(process.stderr.readline, "") if line.startswith("epoch 1/"))
    os.killpg(process.pid, signal.Signals[name])  # as batch systems do: the workers, too
    stdout, stderr = process.communicate(timeout=600)
    assert stdout == ""
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    status = json.loads((cut / "status.json").read_text())["status"]
    if name == "SIGTERM":
        assert process.returncode == 143, stderr
        assert "SIGTERM: saving the training; a second one ends it at once" in stderr
        assert stderr.splitlines()[-2:] == ["  balenas train cut", "interrupted (SIGTERM)"]
        assert status == "interrupted"
    else:
        assert process.returncode == -signal.SIGKILL
        assert status == "running"  # it could not say otherwise
    done = call("train", "cut", "--json", "--set", "training.workers=0")
    assert done.code == 0, done.err
    results = [json.loads((run / "result.json").read_text()) for run in (cut, whole)]
    for result in results:
        del result["seconds"]
    assert results[0] == results[1]
    weights = [load_file(run / "model.safetensors") for run in (cut, whole)]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weight, weights[1][key]) for key, weight in weights[0].items())


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the worker in /proc")
def test_a_training_whose_worker_is_killed_says_so_and_goes_on(call, toy_environment, tmp_path):
    process = subprocess.Popen(
        [
            sys.executable, "-m", "balenas_cli", *ARCH, "--epochs", "12", "--batch-size", "64",
            "--output", "cut", "--set", "training.workers=1",
        ],
        cwd=tmp_path, env=toy_environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    next(line for line in iter(process.stderr.readline, "") if line.startswith("epoch 1/"))
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for worker in children:
        os.kill(int(worker), signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=600)
    assert (process.returncode, stdout) == (1, ""), stderr
    assert "Traceback" not in stderr
    last = stderr.splitlines()
    assert last[-2] == "  balenas train cut"
    assert re.match(r"error: a process that loads digits \((training|test)\) died ", last[-1])
    status = json.loads((tmp_path / "cut" / "status.json").read_text())
    assert status["status"] == "failed"
    done = call("train", "cut", "--json", "--set", "training.workers=0")
    assert done.code == 0, done.err


@pytest.mark.slow
def test_of_several_processes_the_first_alone_speaks(toy_environment, tmp_path):
    def torchrun(*arguments):
        return subprocess.run(
            [
                sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2",
                "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0",
                "-m", "balenas_cli", *ARCH, *QUICK, *arguments,
            ],
            cwd=tmp_path, env=toy_environment, capture_output=True, text=True, timeout=600,
            check=False,
        )  # fmt: skip

    done = torchrun("--output", "out", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["processes"] == 2
    assert "warning: " not in done.stderr
    refused = torchrun("--output", "none", "--resume", "must")
    assert refused.returncode != 0
    assert refused.stdout == ""
    assert refused.stderr.count("error: none holds no run to go on with") == 1


def test_a_dry_run_looks_at_the_architecture(call):
    refused = call("train", "garbage", "--space", "toy", "--dry-run")
    assert (refused.code, refused.out) == (2, "")
    assert "garbage" in refused.err
    assert call("train", "conv-conv", "--space", "toy", "--dry-run").code == 0
