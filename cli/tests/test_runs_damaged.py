"""Runs with damaged files: listed, shown, gone on with and removed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from test_runs import make_run, table_of

DAMAGE = {
    "a missing key": ("result.json", '{"architecture": "conv-conv"}', "field required"),
    "a wrong type": ("status.json", '{"status": 3}', "status: input should be 'running'"),
    "another type": ("status.json", "[]", "input should be an object"),
    "a wrong moment": ("status.json", '{"status": "done", "created": "x"}', "created: "),
    "brackets": ("result.json", "[" * 200_000, "recursion limit exceeded"),
    "no UTF-8": ("status.json", '{"status": "\xff"}', "invalid unicode"),
    "versions": ("environment.json", '{"versions": {"torch": 2}}', "versions.torch: input"),
    "a selection": ("selections/x.json", '{"selector": {"name": "x"}}', "field required"),
    "a training": ("training/result.json", '{"epochs": "many"}', "epochs: input should be"),
    "a number": ("result.json", '{"seconds": {"search": 1' + "0" * 400 + "}}", "field required"),
}


@pytest.fixture
def two(tmp_path):
    """Two runs that are done."""
    make_run(tmp_path / "runs" / "a")
    make_run(tmp_path / "runs" / "b", seed=1)


@pytest.mark.parametrize(("name", "text", "told"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_run_is_listed_as_damaged_and_shown_with_its_damage(call, two, name, text, told):
    path = Path("runs/a") / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="latin-1")
    listed = call("runs", "list")
    assert (listed.code, listed.err) == (0, "")
    statuses = {row[0]: row[1] for row in table_of(listed.out)[1:]}
    assert statuses == {"a": "damaged", "b": "done"}
    (plain,) = json.loads(call("runs", "list", "--status", "damaged", "--json").out)
    (problem,) = plain["problems"]
    assert problem.startswith(f"{path} is damaged: ")
    assert told in problem
    shown = call("runs", "show", "a")
    assert shown.code == 0
    assert str(path) in "".join(shown.out.split("\n"))
    assert shown.out.endswith("balenas resume runs/a\n")
    for command in (("compare", "a", "b"), ("show", "a", "--json"), ("list", "--sort", "seconds")):
        assert call("runs", *command).code == 0
    refused = call("runs", "prune", "a", "--yes")
    assert refused.code == 2
    assert "runs/a is damaged; see 'balenas runs show', and remove it with --force" in refused.err
    assert call("runs", "prune", "a", "--yes", "--force").code == 0
    assert not Path("runs/a").exists()


def _file(folder: Path) -> None:
    folder.write_text("x")


def _loop(folder: Path) -> None:
    folder.symlink_to(folder.name)


@pytest.mark.parametrize("make", [_file, _loop])
def test_checkpoints_that_cannot_be_read_are_a_damage(call, two, make):
    folder = Path("runs/a/checkpoints")
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    make(folder)
    assert [row[1] for row in table_of(call("runs", "list").out)[1:]] == ["damaged", "done"]
    shown = call("runs", "show", "a")
    assert shown.code == 0
    assert "runs/a/checkpoints cannot be read" in shown.out


@pytest.mark.parametrize("name", ["lock", "status.json", "metrics.jsonl", "result.json"])
def test_a_fifo_holds_up_no_listing(call, two, name):
    path = Path("runs/a") / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    if name == "lock":  # which is looked at where a run does not say that it is done
        facts = json.loads(Path("runs/a/status.json").read_text()) | {"status": "running"}
        Path("runs/a/status.json").write_text(json.dumps(facts))
    assert call("runs", "list").code == 0
    assert call("runs", "show", "a").code == 0


def test_a_done_run_without_its_result_is_damaged(call, two):
    Path("runs/a/result.json").unlink()
    assert [row[1] for row in table_of(call("runs", "list").out)[1:]] == ["damaged", "done"]
    assert "runs/a/result.json is missing." in call("runs", "show", "a").out


def test_a_link_to_a_run_is_not_pruned(call, two):
    Path("runs/link").symlink_to("a")
    before = sorted(Path("runs/a").rglob("*"))
    target = os.path.realpath("runs/a")
    for arguments in (("link",), ("b", "link"), ("--folder", "runs/link", "--status", "done")):
        answer = call("runs", "prune", *arguments, "--yes")
        assert (answer.code, answer.out) == (2, "")
        assert f"runs/link is a link. Name the run itself, {target}" in answer.err
        assert "remove the link by 'rm runs/link'" in answer.err
    assert sorted(Path("runs/a").rglob("*")) == before
    assert Path("runs/b/config.yaml").exists()


def test_a_result_that_is_damaged_is_named_where_it_is_needed(call, two):
    Path("runs/a/result.json").write_text('{"architecture": 3}')
    answer = call("resume", "a")
    assert (answer.code, answer.out) == (1, "")
    assert "runs/a/result.json is damaged: architecture: input should be a valid string" in (
        answer.err
    )
    assert "Traceback" not in answer.err


def test_a_run_that_was_removed_while_it_ran_keeps_nothing(call, tmp_path, monkeypatch):
    import shutil

    from balenas_core.runs.epoch_log import EpochLog

    append = EpochLog.append

    def gone(self, *arguments):
        shutil.rmtree(self._run)
        append(self, *arguments)

    monkeypatch.setattr(EpochLog, "append", gone)
    answer = call(
        "search", "--space", "toy", "--optimizer", "toy_adam", "--selector", "toy_params",
        "--epochs", "2", "--batch-size", "256", "--draws", "16", "--output", "run",
    )  # fmt: skip
    assert answer.code == 1
    assert "run is gone, and the state with it." in answer.err
    assert "keeps the state" not in answer.err
    assert "balenas resume" not in answer.err
