"""Runs with files that are not what was written there."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil

import pytest
import torch

from balenas_core import Search
from balenas_core.errors import (
    DamagedError,
    OutputError,
    RunLockedError,
    SearchInterrupted,
    UsageError,
)
from balenas_core.interfaces.events import EpochEnded, SearchStarted, StepEnded
from balenas_core.runs.directory import RunDirectory
from balenas_core.runs.listing import read_run


@pytest.fixture(scope="module")
def _kept(tmp_path_factory):
    """A folder for what is made once."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def whole(registry, make, _kept):
    """A run that nothing disturbed."""
    if not (_kept / "whole").exists():
        Search(make(output=_kept / "whole"), registry=registry).run()
    return _kept / "whole"


@pytest.fixture
def run(registry, make, _kept, tmp_path):
    """A run that was stopped in its last epoch, with two checkpoints."""
    if not (_kept / "run").exists():
        search = Search(make(output=_kept / "run"), registry=registry)

        def stop(event):
            if isinstance(event, StepEnded) and (event.epoch, event.step) == (2, 1):
                search.request_stop()

        search._listeners.append(stop)
        with pytest.raises(SearchInterrupted):
            search.run()
    return shutil.copytree(_kept / "run", tmp_path / "run")


def _content(folder):
    """Return all files of a run."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _finish(run, registry, listeners=()):
    return Search.of_run(run, registry=registry, listeners=listeners).run(resume="must")


def _replace(path, data):
    """Put other bytes where a checkpoint was, under a name that fits them."""
    name = f"{path.stem.rpartition('-')[0]}-{hashlib.sha256(data).hexdigest()[:32]}.pt"
    path.unlink()
    (path.parent / name).write_bytes(data)
    return path.parent / name


def _saved(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def _without(key):
    def change(state):
        del state[key]

    return change


def _with(*place, value):
    def change(state):
        for key in place[:-1]:
            state = state[key]
        state[place[-1]] = value

    return change


def _other_shapes(state):
    supernet = state["loop"]["supernet"]
    name = next(name for name, value in supernet.items() if value.dim())
    supernet[name] = torch.zeros(17, 3)


STRANGE = {
    "no config": (_without("config"), "config: field required"),
    "no generators": (_without("generators"), "generators: field required"),
    "a place of text": (_with("place", "step", value="4"), r"place\.step: .*valid integer"),
    "a negative place": (_with("place", "steps_done", value=-1), r"place\.steps_done: "),
    "an epoch more": (_with("place", "epochs_done", value=3), "has 2 lines, for 3 epochs"),
    "logs of garbage": (_with("logs", "metrics", value="?\n"), "line 1: expected value"),
}
MISFITS = {
    "other shapes": (_other_shapes, "RuntimeError: Error.* loading state_dict.* size mismatch"),
    "no optimizer": (lambda state: state["loop"].pop("optimizer"), "KeyError: 'optimizer'"),
    "another place": (_with("place", "steps_done", value=400), "400 steps are done, of 3 epochs"),
    "no stopping": (_with("early_stopping", value=None), "TypeError"),
    "no generator": (_with("generators", "cpu", value=torch.zeros(3)), "TypeError|RuntimeError"),
}


@pytest.mark.parametrize(("change", "told"), [*STRANGE.values(), *MISFITS.values()])
def test_a_checkpoint_of_other_content_costs_some_steps_and_nothing_else(
    registry, run, whole, the_outcome, same, caplog, change, told
):
    newest, before = RunDirectory(run).checkpoints.paths()
    state = torch.load(newest, weights_only=True)
    change(state)
    strange = _replace(newest, _saved(state))
    events = []
    _finish(run, registry, [events.append])
    assert f"going on from {before.name}" in caplog.text
    assert re.search(rf"checkpoint {strange} .*({told})", caplog.text)
    (start,) = [event for event in events if isinstance(event, SearchStarted)]
    assert (start.epochs_done, start.steps_done) == (2, 1)
    same(the_outcome(run), the_outcome(whole))


@pytest.mark.parametrize("data", [b"", b"garbage", b"\x80\x02]q\x00.", _saved({}), _saved([1])])
def test_a_checkpoint_of_garbage_is_passed_over(registry, run, caplog, data):
    newest, before = RunDirectory(run).checkpoints.paths()
    strange = _replace(newest, data)
    assert RunDirectory(run).read_checkpoint().path == before
    assert f"checkpoint {strange} is damaged" in caplog.text


@pytest.mark.parametrize(
    ("change", "told"), [STRANGE["no config"], MISFITS["other shapes"]], ids=["strange", "misfit"]
)
def test_where_no_checkpoint_fits_the_run_is_refused_and_left_as_it_is(registry, run, change, told):
    for path in RunDirectory(run).checkpoints.paths():
        state = torch.load(path, weights_only=True)
        change(state)
        _replace(path, _saved(state))
    before = _content(run)
    with pytest.raises(DamagedError, match=rf"{told}.*No other checkpoint is left.*remove {run}/"):
        _finish(run, registry)
    assert _content(run) == before


@pytest.mark.parametrize("damage", [b"", b"{}\n", b"[]\n", b"\xff\n", b"[" * 200_000 + b"\n"])
def test_damaged_lines_are_made_anew_from_the_checkpoint(
    registry, run, whole, the_outcome, same, caplog, damage
):
    for name in ("metrics.jsonl", "distribution.jsonl"):
        lines = (run / name).read_bytes().splitlines(keepends=True)
        (run / name).write_bytes(lines[0] + damage + b"".join(lines[2:]))
    _finish(run, registry)
    assert f"{run}/metrics.jsonl differs in line 2" in caplog.text
    assert f"{run}/distribution.jsonl differs in line 2" in caplog.text
    same(the_outcome(run), the_outcome(whole))


def test_a_link_in_place_of_the_metrics_leads_nowhere(registry, run, tmp_path, the_outcome, whole):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (run / "metrics.jsonl").unlink()
    (run / "metrics.jsonl").symlink_to(victim)
    _finish(run, registry)
    assert victim.read_text() == "precious"
    assert the_outcome(run)["metrics"] == the_outcome(whole)["metrics"]


@pytest.mark.parametrize("name", ["lock", "selection.jsonl"])
def test_a_link_in_place_of_what_is_written_in_place_is_refused(registry, run, tmp_path, name):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (run / name).symlink_to(victim)
    with pytest.raises(DamagedError, match=rf"{run / name} is a symbolic link"):
        _finish(run, registry)
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("line", [b"[" * 200_000, b"[]", b'{"key": 1}', b"\xff", b'{"epoch":0}'])
def test_damaged_scores_are_computed_anew(registry, run, whole, the_outcome, line):
    shutil.copy(whole / "selection.jsonl", run)
    lines = (run / "selection.jsonl").read_bytes().splitlines()
    (run / "selection.jsonl").write_bytes(b"\n".join([*lines[:2], line, *lines[3:]]) + b"\n")
    _finish(run, registry)
    assert the_outcome(run)["result"] == the_outcome(whole)["result"]


@pytest.mark.parametrize("name", ["status.json", "environment.json"])
@pytest.mark.parametrize("data", [b"\xff", b"[" * 200_000, b"[]", b'{"status": 3, "versions": 4}'])
def test_a_damaged_description_is_named_and_does_not_stop_the_search(
    registry, run, whole, the_outcome, caplog, name, data
):
    (run / name).write_bytes(data)
    _finish(run, registry)
    assert f"{run / name} is damaged: " in caplog.text
    assert the_outcome(run)["result"] == the_outcome(whole)["result"]
    assert read_run(run).stated == "done"


def test_a_refused_selection_changes_nothing(registry, make, whole, tmp_path):
    run = shutil.copytree(whole, tmp_path / "done")
    newest = RunDirectory(run).checkpoints.paths()[0]
    newest.write_bytes(newest.read_bytes()[:-1])
    before = _content(run)
    with pytest.raises(UsageError, match=r"the last checkpoint of .* was removed or is damaged"):
        Search(make(output=run, selector="random"), registry=registry).select()
    assert _content(run) == before


def test_a_selection_needs_no_metrics_file_and_leaves_it_alone(registry, make, whole, tmp_path):
    run = shutil.copytree(whole, tmp_path / "done")
    (run / "metrics.jsonl").write_bytes(b"\xff\n")
    (run / "distribution.jsonl").unlink()
    before = _content(run)
    found = Search(make(output=run, selector="random"), registry=registry).select()
    assert [record["epoch"] for record in found.metrics] == [0, 1, 2]
    after = _content(run)
    assert {name: after[name] for name in before if name != "selection.jsonl"} == {
        name: data for name, data in before.items() if name != "selection.jsonl"
    }


def test_metrics_of_a_run_that_is_done_are_read_from_its_checkpoint_if_need_be(
    registry, whole, tmp_path, caplog
):
    run = shutil.copytree(whole, tmp_path / "done")
    (run / "metrics.jsonl").write_bytes(b'{"epoch": 0}\n[]\n')
    result = _finish(run, registry)
    assert [record["epoch"] for record in result.metrics] == [0, 1, 2]
    assert f"{run}/metrics.jsonl is damaged: line 2: " in caplog.text
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(DamagedError, match=r"metrics.jsonl is damaged: line 2: .*no checkpoint"):
        _finish(run, registry)


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        (("benchmark",), 3, "benchmark: input should be a valid array"),
        (("candidates",), [], "candidates: list should have at least 1 item"),
        (("candidates", 0, "rank"), "first", r"candidates\[0\]\.rank: .*\(got 'first'\)"),
        (("seconds", "search"), None, r"seconds\.search: .*valid number"),
        (("architecture",), ["x"], "architecture: input should be a valid string"),
    ],
)
def test_a_damaged_result_is_named_with_its_place(registry, whole, tmp_path, place, value, told):
    run = shutil.copytree(whole, tmp_path / "done")
    result = json.loads((run / "result.json").read_text())
    _with(*place, value=value)(result)
    (run / "result.json").write_text(json.dumps(result))
    with pytest.raises(DamagedError, match=rf"result\.json is damaged: {told}.*makes it anew"):
        _finish(run, registry)
    assert read_run(run).status == "damaged"
    # What the message says.
    (run / "result.json").unlink()
    (run / "status.json").unlink()
    _finish(run, registry)
    assert read_run(run).status == "done"


def test_who_loses_a_race_is_told_who_holds_the_run(registry, make, tmp_path):
    output = tmp_path / "run"
    late = Search(make(output=output), registry=registry)
    losers = []

    def begin(event):
        if isinstance(event, EpochEnded) and not losers:
            for resume in ("allow", "never"):
                with pytest.raises(RunLockedError) as raised:
                    late.run(resume=resume)
                losers.append(str(raised.value))

    Search(make(output=output), registry=registry, listeners=[begin]).run()
    assert len(losers) == 2
    for told in losers:
        assert f"run {output} is in use by process {os.getpid()}" in told


def test_who_finds_the_run_made_in_between_is_told_too(registry, make, tmp_path, monkeypatch):
    from balenas_core.engine import search as module

    output, make_run = tmp_path / "run", module._new_run
    held = []

    def late(*arguments):
        monkeypatch.undo()
        held.append(make_run(*arguments))
        return make_run(*arguments)

    monkeypatch.setattr(module, "_new_run", late)
    with pytest.raises(RunLockedError, match=f"in use by process {os.getpid()}"):
        Search(make(output=output), registry=registry).run(resume="allow")
    held[0].release()


def test_a_result_that_is_missing_is_said(registry, whole, tmp_path):
    run = shutil.copytree(whole, tmp_path / "done")
    (run / "result.json").unlink()
    with pytest.raises(OutputError, match=r"result\.json is missing. Remove it and status\.json"):
        _finish(run, registry)
