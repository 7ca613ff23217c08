"""``balenas sweep``."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="optuna is not installed")

TOY = (
    "sweep", "--space", "toy", "--optimizer", "toy_adam", "--selector", "argmax", "--epochs", "2",
    "--check-epochs", "1",
)  # fmt: skip
GRID = (*TOY, "--over", "training.lr=0.01,0.02", "--seeds", "0..1")
POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@pytest.fixture(autouse=True)
def _no_stop():
    from balenas_sweep import forget_stop

    forget_stop()
    yield
    forget_stop()


def without_seconds(value):
    if isinstance(value, dict):
        return {k: without_seconds(v) for k, v in value.items() if k != "seconds"}
    return [without_seconds(v) for v in value] if isinstance(value, list) else value


def results(folder):
    """Return what every trial of a sweep found, without how long that took."""
    return {
        path.parent.name: without_seconds(json.loads(path.read_text()))
        for path in sorted(folder.glob("trial-*/result.json"))
    }


def test_a_grid_runs_every_combination_once_and_writes_the_best(call, tmp_path):
    answer = call(*GRID, "--output", "g", "--json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert [t["settings"] for t in found["trials"]] == [
        {"training.lr": lr, "seed": seed} for lr in (0.01, 0.02) for seed in (0, 1)
    ]
    assert {t["state"] for t in found["trials"]} == {"complete"}
    values = [t["values"]["check_accuracy"] for t in found["trials"]]
    assert found["best"] == [values.index(max(values))]
    best = tmp_path / "g" / "best.yaml"
    shown = call("config", "show", str(best), "--json")
    assert json.loads(shown.out)["training"]["lr"] in (0.01, 0.02)
    listed = json.loads(call("runs", "list", "--folder", "g", "--json").out)
    assert {run["status"] for run in listed} == {"done"}

    before = results(tmp_path / "g")
    again = call("resume", "g", "--json")
    assert json.loads(again.out) == found, "what is done is not run again"
    assert "over)" not in again.err
    assert results(tmp_path / "g") == before

    joined = call(*GRID, "--epochs", "3", "--output", "g", "--resume", "allow")
    assert joined.code == 2
    assert "sweep g was begun with other settings" in joined.err
    refused = call(*GRID, "--output", "g")
    assert refused.code == 2
    assert "holds a sweep; go on with it with --resume allow" in refused.err


def test_a_trial_that_fails_is_recorded_and_the_others_go_on(call):
    over = ("--over", "optimizer.explode_at=-1,0", "--output", "f", "--json")
    found = json.loads(call(*TOY, *over).out)["trials"]
    assert [t["state"] for t in found] == ["complete", "fail"]
    assert "DivergenceError" in found[1]["error"]


def test_a_study_of_several_objectives_has_a_front_and_prunes_none(call, tmp_path):
    answer = call(
        *TOY, "--over", "training.lr=0.01..0.5:log", "--trials", "2", "--sampler", "random",
        "--objective", "check_accuracy", "--objective", "seconds", "--output", "p", "--json",
        "--storage", "journal",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert len(found["trials"]) == 2
    assert all(0.01 <= t["settings"]["training.lr"] <= 0.5 for t in found["trials"])
    assert [o["direction"] for o in found["objectives"]] == ["maximize", "minimize"]
    front = sorted(path.name for path in (tmp_path / "p" / "pareto").iterdir())
    assert front == [f"trial-{number:04d}.yaml" for number in sorted(found["best"])]


def test_a_dry_run_lists_the_trials(call, tmp_path):
    (tmp_path / "list.yaml").write_text("- {training.lr: 0.5}\n- {training.momentum: 0.1}\n")
    answer = call(*TOY, "--list", "list.yaml", "--seeds", "3,5", "--dry-run")
    assert answer.out.splitlines() == [
        "training.lr=0.5 seed=3",
        "training.lr=0.5 seed=5",
        "training.momentum=0.1 seed=3",
        "training.momentum=0.1 seed=5",
    ]
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (TOY, "nothing to sweep over; add --over KEY=A,B"),
        ((*TOY, "--over", "training.lr"), "expected KEY=VALUE,VALUE or KEY=LOW..HIGH"),
        ((*TOY, "--over", "training.lr=0.1,0.1"), "has a value twice"),
        ((*TOY, "--over", "training.lr=0.1,-3"), "training.lr: must be greater than 0 (got -3)"),
        ((*TOY, "--over", "training.lr=0.1..0.9"), "a range of numbers is for a sampler"),
        ((*TOY, "--over", "training.lr=9..2", "--trials", "2"), "must be larger than the first"),
        ((*TOY, "--over", "output=a,b"), "it says where trials run, and is the sweep's own"),
        ((*TOY, "--seeds", "3..1"), "--seeds 3..1: 1 is less than 3"),
        ((*TOY, "--seeds", "0..1", "--trials", "2"), "--seeds with --trials"),
        ((*TOY, "--seeds", "0..1", "--sampler", "tpd"), "Did you mean 'tpe'?"),
        ((*TOY, "--over", "check_epochs=1,2"), "trials of different check_epochs (1, 2) cannot be"),
        ((*TOY, "--seeds", "0,1", "--objective", "cifar10.regret"), "has no data set 'cifar10'"),
        ((*TOY, "--seeds", "0,1", "--objective", "toy_params"), "does not score by it; join it"),
        ((*TOY, "--seeds", "0,1", "--objective", "a:up"), "--objective must be NAME, NAME:max"),
        ((*TOY, "--seeds", "0,1", "--storage", "nowhere"), "is no URL of a database"),
        (("sweep", "--resume", "must", "--output", "none"), "none holds no sweep"),
    ],
)
def test_what_cannot_be_swept_is_explained_and_leaves_nothing(call, tmp_path, arguments, message):
    output = () if "--output" in arguments else ("--output", "s")
    answer = call(*arguments, *output)
    assert answer.code == 2
    assert message in answer.err
    assert "Traceback" not in answer.err
    assert not (tmp_path / "s").exists()


def test_a_database_that_does_not_answer_is_named_without_its_password(call, tmp_path):
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    url = "postgresql+psycopg://me:secret@127.0.0.1:9/x"
    answer = call(*GRID, "--output", "s", "--storage", url)
    assert answer.code == 1
    assert "127.0.0.1:9/x does not answer" in answer.err
    assert "secret" not in answer.err
    assert not (tmp_path / "s").exists()


def test_a_storage_of_another_study_is_refused(call, tmp_path):
    url = f"sqlite:///{tmp_path}/shared.db"
    assert call(*TOY, "--seeds", "0", "--output", "a", "--name", "x", "--storage", url).code == 0
    answer = call(*TOY, "--seeds", "1", "--output", "b", "--name", "x", "--storage", url)
    assert answer.code == 2
    assert "has a study 'x' of something else" in answer.err


@pytest.fixture
def postgres():
    """The URL of a PostgreSQL of this test's own, on a socket in a folder with a short name."""
    if not POSTGRES or not (POSTGRES[-1] / "initdb").exists():
        pytest.skip("initdb of PostgreSQL is not installed")
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    programs, folder = POSTGRES[-1], Path(tempfile.mkdtemp(prefix="balenas-"))
    user = []
    if os.getuid() == 0:  # which PostgreSQL refuses to be run by
        user = ["runuser", "-u", "postgres", "--"]
        shutil.chown(folder, "postgres")

    def run(program, *arguments):
        done = subprocess.run(
            [*user, programs / program, "-D", folder / "data", *arguments],
            stdout=subprocess.DEVNULL, cwd="/", timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{program} {arguments} failed"

    run("initdb", "-A", "trust", "-U", "me")
    options = f"-k {folder} -c listen_addresses='' -c fsync=off"
    run("pg_ctl", "-w", "-l", folder / "log", "-o", options, "start")
    yield f"postgresql+psycopg://me@/postgres?host={folder}"
    run("pg_ctl", "-m", "immediate", "stop")
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_worker_that_is_killed_loses_nothing(kind, call, tmp_path, toy_environment, request):
    storage = () if kind == "sqlite" else ("--storage", request.getfixturevalue("postgres"))
    slow = ("--set", "optimizer.seconds=0.02", "--heartbeat", "2", "--output", "s")
    command = [sys.executable, "-m", "balenas_cli", *GRID, *slow, *storage]

    def start(*more):
        return subprocess.Popen(
            [*command, *more], cwd=tmp_path, env=toy_environment, stderr=subprocess.PIPE, text=True
        )

    def wait_for(pattern):
        while not list(tmp_path.glob(pattern)):
            assert first.poll() is None, f"there is no {pattern}: {first.communicate()[1]}"
            time.sleep(0.1)

    first = start()
    wait_for("s/sweep.json")
    second = start("--resume", "allow")
    wait_for("s/trial-0000/checkpoints/*.pt")
    first.send_signal(signal.SIGKILL)
    _, told = second.communicate(timeout=900)
    first.communicate()
    assert second.returncode == 0, told
    shown = call("sweep", "--resume", "must", "--output", "s", "--json", *storage)
    trials = json.loads(shown.out)["trials"]
    assert [t["state"] for t in trials] == ["complete"] * 4
    whole = call(*GRID, *slow[:2], "--output", "whole")
    assert whole.code == 0, whole.err
    assert results(tmp_path / "s") == results(tmp_path / "whole")
