"""``balenas runs``: list, show, compare, prune."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from balenas_core.files import RunLock
from balenas_core.runs.listing import find_runs


def make_run(path: Path, *, status="done", seed=0, accuracy=50.0, epochs=2, loss=1.0, **config):
    """Write what a search leaves, without making one."""
    path.mkdir(parents=True)
    settings = {
        "space": {"name": "toy"},
        "optimizer": {"name": "toy_adam", "lr": 0.1},
        "distribution": {"name": "gaussian"},
        "selector": {"name": "toy_params", "draws": 16},
        "data": {"name": "digits"},
        "training": {"epochs": 2, "lr": 0.025},
        "seed": seed,
        "output": str(path),
        **config,
    }
    facts = {
        "status": status,
        "created": f"2030-01-0{seed + 1}T00:00:00+00:00",
        "updated": f"2030-01-0{seed + 1}T01:00:00+00:00",
        "message": "the disk was full" if status == "failed" else None,
        "config": settings,
    }
    (path / "status.json").write_text(json.dumps(facts))
    (path / "config.yaml").write_text("seed: 0\n")
    lines = [
        {
            "epoch": epoch,
            "train_loss": loss / (epoch + 1),
            "architecture": "skip-conv",
            "seconds": 1,
        }
        for epoch in range(epochs)
    ]
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (path / "checkpoints").mkdir()
    checkpoint = f"epoch-0002-step-00000004-{'0' * 32}.pt"
    (path / "checkpoints" / checkpoint).write_bytes(b"0" * 2**20)
    if status == "done":
        entry = {
            "dataset": "cifar10",
            "metric": "test_accuracy",
            "value": 90.0 + seed,
            "best": 94.0,
            "regret": 4.0 - seed,
            "rank": 5,
            "total": 9,
        }
        candidate = {
            "rank": 1,
            "architecture": "conv-conv",
            "scores": {"toy_params": 3.0},
            "is_argmax": True,
            "draws": 16,
        }
        result = {
            "architecture": "conv-conv",
            "validation_accuracy": accuracy,
            "benchmark": [entry],
            "candidates": [candidate],
            "seconds": {"search": 2.0, "selection": 0.5},
        }
        (path / "result.json").write_text(json.dumps(result))


@pytest.fixture
def three(tmp_path):
    """A run that is done, one that failed and one whose process was killed."""
    make_run(tmp_path / "runs" / "a", accuracy=60.0)
    make_run(tmp_path / "runs" / "b", status="failed", seed=1, epochs=1, loss=3.0)
    make_run(tmp_path / "runs" / "deep" / "c", status="running", seed=2, loss=2.0)
    (tmp_path / "runs" / "notes").mkdir()


def table_of(text):
    return [line.split() for line in text.splitlines()]


def test_runs_are_listed_with_their_status(call, three):
    rows = table_of(call("runs", "list").out)
    assert rows == [
        ["run", "status", "space", "optimizer", "selector", "seed", "epochs", "inherited_accuracy"],
        ["a", "done", "toy", "toy_adam", "toy_params", "0", "2/2", "60"],
        ["b", "failed", "toy", "toy_adam", "toy_params", "1", "1/2", "-"],
        ["deep/c", "lost", "toy", "toy_adam", "toy_params", "2", "2/2", "-"],
    ]


def test_a_run_that_a_process_holds_is_running(call, three):
    lock = RunLock.acquire(Path("runs/deep/c"))
    rows = table_of(call("runs", "list").out)
    lock.release()
    assert rows[3][:2] == ["deep/c", "running"]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("--sort", "train_loss"), ["a", "deep/c", "b"]),
        (("--sort", "train_loss", "--descending"), ["b", "deep/c", "a"]),
        (("--sort", "cifar10.regret"), ["a", "b", "deep/c"]),
        (("--sort", "inherited_accuracy"), ["a", "b", "deep/c"]),
        (("--descending",), ["deep/c", "b", "a"]),
        (("--status", "failed"), ["b"]),
        (("--filter", "seed=1"), ["b"]),
        (("--filter", "training.lr=0.025", "--filter", "space=toy"), ["a", "b", "deep/c"]),
        (("--filter", "space=darts"), []),
    ],
)
def test_runs_are_filtered_and_sorted(call, three, arguments, names):
    answer = call("runs", "list", *arguments)
    assert answer.code == 0, answer.err
    assert [row[0] for row in table_of(answer.out)[1:]] == names
    if "--sort" in arguments:
        assert table_of(answer.out)[0][-1] == arguments[1]


def test_the_listing_as_json_has_everything(call, three):
    runs = json.loads(call("runs", "list", "--json").out)
    assert [run["status"] for run in runs] == ["done", "failed", "lost"]
    assert runs[0]["values"] == {
        "epoch": 1.0, "train_loss": 0.5, "inherited_accuracy": 60.0, "seconds": 2.5,
        "cifar10.value": 90.0, "cifar10.regret": 4.0, "cifar10.rank": 5.0,
    }  # fmt: skip
    assert runs[1]["message"] == "the disk was full"
    assert runs[1]["config"]["optimizer"] == {"name": "toy_adam", "lr": 0.1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("list", "--sort", "train_los"), "no run has a number 'train_los'. Did you mean"),
        (
            ("list", "--status", "dead"),
            "--status must be one of running, stalled, lost,",
        ),
        (("list", "--filter", "seed"), "--filter must be KEY=VALUE"),
        (("list", "--filter", "traning.lr=1"), "no run has a setting 'traning.lr'. Did you mean"),
        (("list", "--filter", "seed.x=1"), "--filter: no run has a setting 'seed.x'"),
        (("list", "--folder", "nowhere"), "there is no folder nowhere"),
        (("show", "z"), "z holds no run: there is no z/config.yaml"),
        (("compare", "a"), "comparing needs two runs or more"),
        (("prune",), "which runs? Name them, or choose by"),
        (("prune", "a", "--status", "done"), "not both"),
        (("prune", "a"), "error: there is no terminal to ask on; use --yes"),
        (("prune", "b", "--yes"), "runs/b is failed and can be resumed; remove it with --force"),
    ],
)
def test_what_cannot_be_done_is_refused(call, three, arguments, message):
    answer = call("runs", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err


def test_damaged_files_do_not_hide_a_run(call, three):
    Path("runs/a/status.json").write_text("{")
    Path("runs/a/result.json").write_text("")
    Path("runs/b/metrics.jsonl").write_bytes(b'\xff\xfe\n{"epoch": 0, "train_loss": 7}\n{"epo')
    (Path("runs/a") / "environment.json").write_text("{}")
    runs = {run.path.name: run for run in find_runs(Path("runs"))}
    assert runs["a"].status == "damaged"
    assert runs["b"].metrics == {"epoch": 0, "train_loss": 7}
    assert call("runs", "list").code == 0
    assert call("runs", "show", "a").code == 0


def test_one_run_is_shown_with_what_to_do_next(call, three):
    done, failed = call("runs", "show", "a").out, call("runs", "show", "b").out
    assert "conv-conv" in done
    assert ["cifar10.regret", "4"] in table_of(done)
    assert "epoch-0002-step-00000004" in done
    assert ["on", "disk", "1.0", "MiB"] in table_of(done)
    assert "the disk was full" in failed
    assert failed.endswith("Go on with it:\n  balenas resume runs/b\n")
    data = json.loads(call("runs", "show", "a", "--json").out)
    assert data["result"]["architecture"] == "conv-conv"


def test_one_run_is_shown_with_its_training(call, three):
    assert json.loads(call("runs", "show", "a", "--json").out)["training"] == {}
    Path("runs/a/training").mkdir()
    result = {"test_accuracy": 98.75, "epochs": 20}
    Path("runs/a/training/result.json").write_text(json.dumps(result))
    shown = table_of(call("runs", "show", "a").out)
    assert ["training", "test_accuracy", "98.75", "after", "20", "epochs"] in shown
    assert json.loads(call("runs", "show", "a", "--json").out)["training"] == result


def test_comparing_shows_what_differs_and_nothing_else(call, three):
    compared = json.loads(call("runs", "compare", "a", "b", "deep/c", "--json").out)
    assert compared["settings"] == {"seed": [0, 1, 2]}
    assert compared["values"]["train_loss"] == [0.5, 3.0, 1.0]
    assert compared["values"]["inherited_accuracy"] == [60.0, None, None]
    rows = table_of(call("runs", "compare", "a", "b").out)
    assert ["seed", "0", "1"] in rows
    assert ["train_loss", "0.5", "3"] in rows
    assert not any(row[:1] == ["space"] for row in rows)


def test_pruning_asks_and_takes_no_for_an_answer(call, three, monkeypatch):
    import io

    terminal = io.StringIO("n\n")
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    answer = call("runs", "prune", "a")
    assert answer.code == 1
    assert "Remove these runs for good (1.0 MiB)?" in answer.err
    assert Path("runs/a").exists()


def test_pruning_removes_what_is_done_and_leaves_the_rest(call, three):
    answer = call("runs", "prune", "--filter", "space=toy", "--yes")
    assert answer.out == "removed runs/a (1.0 MiB)\n"
    assert sorted(path.name for path in Path("runs").iterdir()) == ["b", "deep", "notes"]


def test_force_removes_unfinished_runs_but_never_a_running_one(call, three):
    lock = RunLock.acquire(Path("runs/deep/c"))
    answer = call("runs", "prune", "--filter", "space=toy", "--yes", "--force")
    assert answer.out == "removed runs/a (1.0 MiB)\nremoved runs/b (1.0 MiB)\n"
    refused = call("runs", "prune", "deep/c", "--yes", "--force")
    lock.release()
    assert refused.code == 2
    assert "runs/deep/c is running (process" in refused.err
    assert Path("runs/deep/c/config.yaml").exists()


def test_a_run_whose_network_is_being_trained_is_not_removed(call, three):
    training = Path("runs/a/training")
    training.mkdir()
    lock = RunLock.acquire(training)
    refused = call("runs", "prune", "a", "--yes")
    lock.release()
    assert refused.code == 1
    assert "runs/a/training is in use by process" in refused.err
    assert Path("runs/a/config.yaml").exists()
    assert Path("runs/a/checkpoints").exists()


def test_checkpoints_can_go_and_results_stay(call, three):
    answer = call("runs", "prune", "a", "--checkpoints", "--yes")
    assert answer.out == "removed the checkpoints of runs/a (1.0 MiB)\n"
    assert not Path("runs/a/checkpoints").exists()
    assert Path("runs/a/result.json").exists()


@pytest.mark.parametrize(("days", "left"), [("1e9", 1), ("0", 0)])
def test_young_runs_can_be_spared(call, tmp_path, days, left):
    make_run(tmp_path / "runs" / "old")
    facts = json.loads(Path("runs/old/status.json").read_text())
    facts["updated"] = "2020-01-01T00:00:00+00:00"
    Path("runs/old/status.json").write_text(json.dumps(facts))
    assert call("runs", "prune", "--older-than", days, "--yes").code == 0
    assert Path("runs/old").exists() == bool(left)


def test_a_thousand_runs_are_read_in_a_second_of_this_process(tmp_path):
    for number in range(1000):
        make_run(tmp_path / f"run{number}", seed=number % 8)
    start = time.process_time()
    runs = find_runs(tmp_path)
    assert len(runs) == 1000
    assert time.process_time() - start < 1.0
