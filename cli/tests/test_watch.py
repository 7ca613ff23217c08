"""``balenas runs watch``."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console
from test_runs import make_run

from balenas_cli.tables.watched import display
from balenas_core.files import RunLock
from balenas_core.runs.listing import find_runs, read_run

TOY = (
    "search", "--space", "toy", "--optimizer", "toy_adam", "--selector", "toy_params",
    "--check-epochs", "0", "--batch-size", "256", "--draws", "16", "--threads", "1",
    "--set", "optimizer.seconds=0.02",
)  # fmt: skip


def beat(run: Path, *, age: float = 0.0, slowest: float = 1.0, done: int = 1) -> None:
    """Give a run a last sign of life."""
    at = (datetime.now().astimezone() - timedelta(seconds=age)).isoformat()
    status = json.loads((run / "status.json").read_text())
    status["heartbeat"] = {
        "at": at, "phase": "search", "done": done, "total": 4, "slowest": slowest,
    }  # fmt: skip
    (run / "status.json").write_text(json.dumps(status))


def test_a_run_that_is_done_is_told_in_one_line_and_not_waited_for(call, tmp_path):
    make_run(tmp_path / "runs" / "a")
    answer = call("runs", "watch", "a")
    assert answer.code == 0
    first, *rest = answer.out.splitlines()
    assert "runs/a  done  epoch 2/2  train loss 0.5000" in first
    assert rest == ["Its settings are in runs/a/config.yaml, all scores in result.json."]


def test_a_lost_run_is_told_with_how_to_go_on(call, tmp_path):
    make_run(tmp_path / "runs" / "a", status="running", epochs=1)
    beat(tmp_path / "runs" / "a")
    answer = call("runs", "watch", "a")
    assert "lost  search 1 of 4  epoch 1/2" in answer.out
    assert answer.out.splitlines()[-1] == "  balenas resume runs/a"


def test_a_folder_shows_each_run_and_ends_where_none_goes_on(call, tmp_path):
    make_run(tmp_path / "runs" / "a")
    make_run(tmp_path / "runs" / "b", status="failed", seed=1)
    lines = call("runs", "watch").out.splitlines()
    assert [line.split()[1:3] for line in lines] == [["a", "done"], ["b", "failed"]]
    assert lines[1].endswith("the disk was full")


def test_json_has_a_line_for_each_run(call, tmp_path):
    make_run(tmp_path / "runs" / "a", status="running", epochs=1)
    beat(tmp_path / "runs" / "a", done=3)
    found = json.loads(call("runs", "watch", "--json").out)
    assert found["status"] == "lost"
    assert (found["phase"], found["done"], found["total"]) == ("search", 3, 4)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nowhere",), "there is no run and no folder nowhere; 'balenas search' makes"),
        (("--interval", "0"), "--interval must be from 0.1 to 3600 seconds"),
    ],
)
def test_what_cannot_be_watched_is_refused(call, arguments, told):
    answer = call("runs", "watch", *arguments)
    assert answer.code == 2
    assert told in answer.err


def test_a_stalled_run_is_listed_and_shown_as_such_and_not_pruned(call, tmp_path):
    run = tmp_path / "runs" / "a"
    make_run(run, status="running", epochs=1)
    beat(run, age=500.0)
    lock = RunLock.acquire(run)
    try:
        assert call("runs", "list").out.splitlines()[1].split()[:2] == ["a", "stalled"]
        shown = call("runs", "show", "a").out
        assert "8 min ago, at search 1 of 4" in shown
        assert "It hangs, or waits for something: process" in shown
        pruned = call("runs", "prune", "a", "--force", "--yes")
        assert pruned.code == 2
        assert "is stalled (process" in pruned.err
    finally:
        lock.release()


def _drawn(runs, folder, height=24):
    console = Console(width=100, height=height, color_system=None, record=True, file=None)
    with console.capture() as capture:
        console.print(display(runs, folder, height=height))
    return capture.get()


def test_the_display_of_one_run_has_its_place_and_its_numbers(tmp_path):
    run = tmp_path / "a"
    make_run(run, status="running", epochs=1)
    beat(run, done=2)
    lock = RunLock.acquire(run)
    try:
        text = _drawn([read_run(run)], run)
    finally:
        lock.release()
    assert "running (process" in text
    assert "search 2 of 4" in text
    assert "1 s left" in text  # half of two epochs of a second
    assert "train loss" in text
    assert "skip-conv" in text


def test_a_display_of_many_runs_keeps_to_the_terminal_and_shows_first_what_goes_on(tmp_path):
    for number in range(9):
        make_run(tmp_path / f"run{number}", seed=number)
    make_run(tmp_path / "going", status="running", seed=0)
    lock = RunLock.acquire(tmp_path / "going")
    try:
        text = _drawn(find_runs(tmp_path), tmp_path, height=10)
    finally:
        lock.release()
    lines = text.splitlines()
    assert len(lines) < 10
    assert lines[1].startswith("going")
    assert lines[-1].strip() == "1 running, 9 done; 4 not shown"


@pytest.mark.slow
def test_a_search_is_watched_from_its_files_until_it_is_lost(toy_environment, tmp_path):
    search = subprocess.Popen(
        [sys.executable, "-m", "balenas_cli", *TOY, "--epochs", "500", "--output", "long"],
        cwd=tmp_path, env=toy_environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while not (tmp_path / "long" / "config.yaml").exists():
            assert search.poll() is None, "the search ended before it was watched"
            time.sleep(0.1)
        with subprocess.Popen(
            [sys.executable, "-m", "balenas_cli", "runs", "watch", "long", "--interval", "0.2"],
            cwd=tmp_path, env=toy_environment, text=True, stdout=subprocess.PIPE,
        ) as watching:  # fmt: skip
            first = watching.stdout.readline()
            search.send_signal(signal.SIGKILL)
            search.wait(timeout=600)
            rest, _ = watching.communicate(timeout=600)
    finally:
        search.kill()
        search.wait(timeout=600)
    assert "long  running  " in first
    assert "long  lost  search" in rest
    assert rest.splitlines()[-1] == "  balenas resume long"
    assert watching.returncode == 0
