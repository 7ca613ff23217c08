"""``balenas resume`` and ``balenas search --resume``."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

TOY = (
    "search", "--space", "toy", "--optimizer", "toy_adam", "--selector", "toy_params",
    "--check-epochs", "0",
    "--epochs", "2", "--batch-size", "256", "--draws", "16",
)  # fmt: skip
LONG = (*TOY, "--epochs", "30", "--set", "optimizer.seconds=0.01", "--threads", "1")


def _without_seconds(value):
    if isinstance(value, dict):
        return {key: _without_seconds(item) for key, item in value.items() if key != "seconds"}
    return [_without_seconds(item) for item in value] if isinstance(value, list) else value


def _outcome(run: Path):
    metrics = (run / "metrics.jsonl").read_text().splitlines()
    return _without_seconds(
        [json.loads((run / "result.json").read_text()), *map(json.loads, metrics)]
    )


def _status(run: Path) -> str:
    return json.loads((run / "status.json").read_text())["status"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_a_run_that_was_ended_goes_on_to_the_same_result(call, toy_environment, tmp_path, name):
    assert call(*LONG, "--output", "whole").code == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "balenas_cli", *LONG, "--output", "cut"],
        cwd=tmp_path, env=toy_environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    next(line for line in iter(process.stderr.readline, "") if line.startswith("epoch 5/"))
    process.send_signal(signal.Signals[name])
    stdout, stderr = process.communicate(timeout=600)
    assert stdout == ""
    cut = tmp_path / "cut"
    if name == "SIGTERM":
        assert process.returncode == 143, stderr
        assert "SIGTERM: saving the search; a second one ends it at once" in stderr
        assert stderr.splitlines()[-2:] == ["  balenas resume cut", "interrupted (SIGTERM)"]
        assert _status(cut) == "interrupted"
        assert not (cut / "lock").exists()
    else:
        assert process.returncode == -signal.SIGKILL
        assert _status(cut) == "running"  # it could not say otherwise
    (listed,) = json.loads(call("runs", "list", "-f", "cut", "--json").out)
    assert listed["status"] == ("interrupted" if name == "SIGTERM" else "lost")
    done = call("resume", "cut", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["run"] == "cut"
    assert _outcome(cut) == _outcome(tmp_path / "whole")
    assert _status(cut) == "done"


def test_a_run_that_is_done_is_shown_again_and_not_touched(call, tmp_path):
    first = call(*TOY, "--output", "here", "--json")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "here").rglob("*")}
    for command in (("resume", "here"), (*TOY, "--output", "here", "--resume", "allow")):
        again = call(*command, "--json")
        assert again.code == 0, again.err
        assert json.loads(again.out) == json.loads(first.out)
        assert "here is done already; this is its result" in again.err
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "here").rglob("*")} == before


def test_resume_allow_starts_where_there_is_nothing(call, tmp_path):
    assert call(*TOY, "--output", "new", "--resume", "allow", "--quiet").code == 0
    assert _status(tmp_path / "new") == "done"


def test_a_run_can_be_named_by_its_name_in_runs(call):
    assert call(*TOY, "--output", "runs/one", "--quiet").code == 0
    answer = call("resume", "one", "--json")
    assert json.loads(answer.out)["run"] == "runs/one"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*TOY, "--resume", "must", "--output", "no"), "no holds no run to go on with"),
        ((*TOY, "--resume", "allow"), "give it with --output"),
        ((*TOY, "--resume", "perhaps"), "--resume must be never, allow or must (got 'perhaps')"),
        (("resume", "no"), "no holds no run: there is no no/config.yaml"),
    ],
)
def test_what_cannot_be_resumed_is_refused(call, tmp_path, arguments, message):
    answer = call(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert list(tmp_path.iterdir()) == []


def test_a_changed_configuration_is_refused_with_its_keys(call):
    stopped = call(*TOY, "--output", "run", "--set", "optimizer.explode_at=3")
    assert stopped.code == 1
    assert "balenas resume" not in stopped.err  # it would diverge again
    answer = call(
        *TOY, "--output", "run", "--resume", "allow", "--lr", "0.5", "--threads", "1",
        "--set", "optimizer.explode_at=-1",
    )  # fmt: skip
    assert (answer.code, answer.out) == (2, "")
    lines = answer.err.splitlines()
    assert "error: run run was started with another configuration:" in lines
    assert "error:   optimizer.explode_at: 3 in the run, -1 now" in lines
    assert "error:   training.lr: 0.025 in the run, 0.5 now" in lines
    assert "threads" not in answer.err


def test_an_existing_run_is_refused_with_the_command_that_goes_on(call):
    call(*TOY, "--output", "run", "--quiet")
    answer = call(*TOY, "--output", "run")
    assert answer.code == 2
    assert "go on with it with 'balenas resume run'" in answer.err
