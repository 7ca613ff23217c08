"""``balenas search`` from end to end, on a toy space and scikit-learn's digits."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from balenas_core import Plugin, Proxy
from balenas_core.plugins.registry import default_registry

TOY = (
    "search", "--space", "toy", "--optimizer", "toy_adam", "--selector", "toy_params",
    "--check-epochs", "1",
    "--epochs", "2", "--batch-size", "256", "--draws", "16",
)  # fmt: skip


def the_run(folder: Path) -> Path:
    (run,) = (folder / "runs").iterdir()
    return run


def test_a_search_shows_what_it_found_and_a_next_command_that_works(toy_balenas, call, tmp_path):
    done = toy_balenas(*TOY)
    assert done.returncode == 0, done.stderr
    run = the_run(tmp_path)
    assert re.fullmatch(r"\d{8}-\d{6}-toy-toy_adam-seed0", run.name)
    result = json.loads((run / "result.json").read_text())
    lines = done.stdout.splitlines()
    assert all(line == line.rstrip() for line in lines)
    assert any("toy cell" in line for line in lines[:4])
    assert result["architecture"] in lines
    assert f"candidates, best {len(result['candidates'])} of {len(result['candidates'])}" in lines
    header = next(line for line in lines if line.startswith("rank"))
    assert header.split() == ["rank", "toy_params", "draws", "architecture"]
    rows = lines[lines.index(header) + 1 :][: len(result["candidates"])]
    assert [row.split()[-1] for row in rows] == [c["architecture"] for c in result["candidates"]]
    assert sum("argmax" in row for row in rows) == 1
    (alone,) = [line for line in lines if line.startswith("chosen alone")]
    check = result["check"]
    assert f"{check['accuracy']:.2f} % validation accuracy after 1 epoch" in alone
    assert alone.endswith(f"a uniform draw {check['control_accuracy']:.2f} %")
    assert check["control"] != result["architecture"]
    assert any(line.split() == ["run", str(run.relative_to(tmp_path))] for line in lines)
    # Not a terminal: one line per epoch, and what the plugin printed is not among the results.
    assert [line.split("  ")[0] for line in done.stderr.splitlines()] == [
        "a plugin that prints", "epoch 1/2", "epoch 2/2",
    ]  # fmt: skip
    assert "mean sigma" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr

    program, *command = shlex.split(lines[-1])
    assert program == "balenas"
    again = call(*command, "--quiet")
    assert again.code == 0, again.err
    config = yaml.safe_load((tmp_path / command[-1] / "config.yaml").read_text())
    assert config["seed"] == 1
    assert command[-1].endswith("-toy-toy_adam-seed1")


def test_json_is_the_result_and_nothing_else(call, tmp_path):
    answer = call(*TOY, "--json", "--output", "here")
    assert answer.code == 0, answer.err
    printed = json.loads(answer.out)
    assert printed.pop("run") == "here"
    assert printed == json.loads((tmp_path / "here" / "result.json").read_text())
    assert answer.err == "a plugin that prints\n"


def test_a_failing_hook_is_reported_once_and_the_search_goes_on(call, tmp_path, monkeypatch):
    monkeypatch.delenv("BALENAS_DISABLE_PLUGINS")
    answer = call(*TOY, "--quiet")
    assert answer.code == 0
    warnings = [line for line in answer.err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert warnings[0].startswith(
        "warning: hook plugin 'acme_watch' (from acme-toys) failed in balenas_epoch_ended: "
        "RuntimeError: cannot reach the server in epoch 0."
    )
    assert (the_run(tmp_path) / "result.json").exists()


def test_a_search_that_diverges_says_what_is_kept(call, tmp_path):
    answer = call(*TOY, "--set", "optimizer.explode_at=3")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.splitlines()[-1].startswith("error: the search diverged in epoch 1, step 1")
    assert "stopped after 1 of 2 epochs; runs/" in answer.err
    assert len((the_run(tmp_path) / "metrics.jsonl").read_text().splitlines()) == 1


class BrokenProxy(Proxy):
    """A proxy that fails on everything."""

    needs_data = False

    def score(self, network, batch):
        raise RuntimeError("no layer to look at")


def test_a_search_whose_proxy_fails_on_everything_says_to_mend_it_first(call, tmp_path):
    plugin = Plugin(kind="proxy", summary="", api_version=1, implementation=BrokenProxy)
    default_registry().add("broken", plugin)
    answer = call(*TOY, "--selector", "broken")
    assert (answer.code, answer.out) == (1, "")
    advice = answer.err.index("another selector, and go on with:\n  balenas resume runs/")
    assert "would fail again as it is" in answer.err[:advice]
    assert "epochs; runs/" in answer.err


@pytest.mark.parametrize(("name", "workers"), [("SIGINT", 1), ("SIGTERM", 0)])
def test_an_interrupt_ends_cleanly_and_keeps_the_run(tmp_path, toy_environment, name, workers):
    number = signal.Signals[name]
    process = subprocess.Popen(
        [
            sys.executable, "-m", "balenas_cli", *TOY, "--epochs", "1000", "--output", "run",
            "--set", "optimizer.seconds=0.05", "--set", f"training.workers={workers}",
        ],
        cwd=tmp_path, env=toy_environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    lines = iter(process.stderr.readline, "")
    next(line for line in lines if line.startswith("epoch 1/"))
    time.sleep(0.1)
    os.killpg(process.pid, number)  # as terminals and batch systems do
    stdout, stderr = process.communicate(timeout=600)
    assert process.returncode == 128 + number, stderr
    assert stdout == ""
    assert "Traceback" not in stderr
    last = stderr.splitlines()
    assert last[-1] == f"interrupted ({name})"
    assert last[-2] == "  balenas resume run"
    assert re.fullmatch(r"stopped after \d+ of 1000 epochs; run keeps the state.*:", last[-3])
    run = tmp_path / "run"
    kept = {path.name for path in run.iterdir()}
    assert {"config.yaml", "environment.json", "metrics.jsonl"} <= kept
    assert any(name.startswith("checkpoint") for name in kept)
    assert "result.json" not in kept
    assert json.loads((run / "status.json").read_text())["status"] == "interrupted"
    assert all(json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines())


def test_an_interrupt_while_torch_is_imported_ends_cleanly(tmp_path, toy_environment):
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "balenas_cli", *TOY],
        cwd=tmp_path, env=toy_environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    next(line for line in iter(process.stderr.readline, "") if "torch." in line)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=600)
    assert process.returncode == 130, stderr
    assert stdout == ""
    assert "interrupted (SIGINT)" in stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_process_that_torchrun_did_not_start_is_told_what_it_sets(
    call, tmp_path, monkeypatch, rank
):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", rank)
    answer = call(*TOY, "--output", "run")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: WORLD_SIZE=2 says that 2 processes share this work")
    assert len(answer.err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_dry_run_prints_the_complete_configuration_and_runs_nothing(call, tmp_path):
    answer = call(*TOY, "--dry-run", "--set", "training.lr=0.5")
    assert answer.code == 0
    config = yaml.safe_load(answer.out)
    assert config["space"] == {"name": "toy"}
    assert config["distribution"]["name"] == "gaussian"
    assert config["training"]["lr"] == 0.5
    assert config["selector"]["draws"] == 16
    assert config["output"].startswith("runs/")
    assert list(tmp_path.iterdir()) == []


def test_the_levels_go_over_each_other(call):
    Path("c.yaml").write_text("seed: 3\ntraining:\n  epochs: 7\n  lr: 0.2\n  momentum: 0.1\n")
    answer = call(
        "search", "c.yaml", "--preset", "toy_preset", "--epochs", "8", "--lr", "0.3",
        "--set", "training.lr=0.4", "--dry-run", "--json",
    )  # fmt: skip
    config = json.loads(answer.out)
    training = config["training"]
    assert config["optimizer"]["lr"] == 0.05  # the preset
    assert training["batch_size"] == 256  # the preset
    assert (config["seed"], training["momentum"]) == (3, 0.1)  # the file
    assert training["epochs"] == 8  # a flag
    assert training["lr"] == 0.4  # --set


def test_every_flag_reaches_its_key(call):
    answer = call(
        "search", "--space", "toy", "--optimizer", "toy_adam", "--distribution", "gaussian",
        "--selector", "toy_params", "--data", "cifar10", "--data-root", "x", "--epochs", "3",
        "--batch-size", "5", "--lr", "0.125", "--draws", "9", "--seed", "4", "--device", "cpu",
        "--precision", "float64", "--threads", "2", "--output", "out", "--dry-run", "--json",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    config = json.loads(answer.out)
    assert config["data"]["name"] == "cifar10"
    assert config["data"]["root"] == "x"
    assert config["selector"]["draws"] == 9
    training = config["training"]
    assert (training["epochs"], training["batch_size"], training["lr"]) == (3, 5, 0.125)
    named = ("seed", "device", "precision", "threads", "output")
    assert [config[key] for key in named] == [4, "cpu", "float64", 2, "out"]
