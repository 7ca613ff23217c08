"""Full, read-only and removed disks, damaged files, changed configurations."""

from __future__ import annotations

import errno
import json
import resource
import shutil

import pytest

from balenas_core import Search
from balenas_core.errors import (
    ConfigChangedError,
    OutputError,
    RunLockedError,
    SearchInterrupted,
)
from balenas_core.interfaces.events import SearchStarted, SelectionProgress, StepEnded
from balenas_core.runs.directory import RunDirectory


class _At:
    """A listener that does something once, at one step of one epoch."""

    def __init__(self, epoch, step, action):
        self._place, self._action = (epoch, step), action

    def __call__(self, event):
        if isinstance(event, StepEnded) and (event.epoch, event.step) == self._place:
            self._action()


@pytest.fixture
def whole(registry, make, tmp_path, the_outcome):
    """The outcome of a search that nothing disturbed."""
    Search(make(output=tmp_path / "whole"), registry=registry).run()
    return the_outcome(tmp_path / "whole")


@pytest.fixture
def stopped(registry, make, tmp_path):
    """Return ``stopped(epoch, step)``, a run that was asked to stop there."""

    def run(epoch, step, **changes):
        config = make(output=tmp_path / "run", **changes)
        search = Search(config, registry=registry)
        search._listeners.append(_At(epoch, step, search.request_stop))
        with pytest.raises(SearchInterrupted):
            search.run()
        return tmp_path / "run"

    return run


def _finish(run, registry, listeners=()):
    return Search.of_run(run, registry=registry, listeners=listeners).run(resume="must")


def _status(run):
    return json.loads((run / "status.json").read_text())


@pytest.mark.parametrize("place", [(0, 0), (0, 3), (1, 1), (2, 3)])
def test_a_search_that_is_asked_stops_at_its_step_and_goes_on(
    registry, stopped, whole, the_outcome, same, place
):
    run = stopped(*place)
    state = RunDirectory(run).read_checkpoint().state["place"]
    assert (state["epochs_done"], state["steps_done"]) == (place[0], place[1] + 1)
    assert _status(run)["status"] == "interrupted"
    events = []
    _finish(run, registry, [events.append])
    (start,) = [event for event in events if isinstance(event, SearchStarted)]
    assert (start.epochs_done, start.steps_done) == (place[0], place[1] + 1)
    assert sum(isinstance(event, StepEnded) for event in events) == 12 - state["step"]
    same(the_outcome(run), whole)
    assert _status(run)["status"] == "done"


def test_a_selection_that_is_stopped_keeps_its_scores(
    registry, make, tmp_path, whole, the_outcome, same, monkeypatch
):
    search = Search(make(output=tmp_path / "run"), registry=registry)

    def stop(event):
        if isinstance(event, SelectionProgress) and event.done == 3:
            search.request_stop()

    search._listeners.append(stop)
    with pytest.raises(SearchInterrupted):
        search.run()
    lines = (tmp_path / "run" / "selection.jsonl").read_text().splitlines()
    assert len(lines) == 1 + 3
    keys = [json.loads(line)["key"] for line in lines[1:]]
    _finish(tmp_path / "run", registry)
    after = (tmp_path / "run" / "selection.jsonl").read_text().splitlines()
    assert after[: len(lines)] == lines
    all_keys = [json.loads(line)["key"] for line in after[1:]]
    assert len(set(all_keys)) == len(all_keys) > len(keys)
    same(the_outcome(tmp_path / "run"), whole)


def test_scores_of_another_checkpoint_are_forgotten(registry, stopped, whole, the_outcome, same):
    run = stopped(2, 3)
    text = json.dumps({"checkpoint": "another"}) + "\n"
    text += json.dumps({"key": "conv-conv", "scores": {"loss": 99.0}, "seconds": 1.0}) + "\n"
    (run / "selection.jsonl").write_text(text)
    _finish(run, registry)
    same(the_outcome(run), whole)


def test_a_damaged_checkpoint_costs_some_steps_and_nothing_else(
    registry, stopped, whole, the_outcome, same, caplog
):
    run = stopped(2, 1)
    newest = RunDirectory(run).checkpoints.paths()[0]
    newest.write_bytes(newest.read_bytes()[:-100])
    _finish(run, registry)
    assert f"{newest} is damaged" in caplog.text
    same(the_outcome(run), whole)


def test_without_any_checkpoint_the_search_starts_anew(registry, stopped, whole, the_outcome, same):
    run = stopped(1, 1)
    shutil.rmtree(run / "checkpoints")
    _finish(run, registry)
    same(the_outcome(run), whole)


def test_lines_after_the_checkpoint_are_cut_off(registry, stopped, whole, the_outcome, same):
    run = stopped(1, 1)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 1, "step": 8}\n{"epo')
    _finish(run, registry)
    same(the_outcome(run), whole)


def test_time_of_all_processes_is_counted(registry, stopped):
    run = stopped(2, 3)
    spent = RunDirectory(run).read_checkpoint().state["seconds"]
    result = _finish(run, registry)
    assert result.seconds["search"] > spent["search"] > 0
    assert result.metrics[-1]["seconds"] > spent["epoch"] > 0


def test_a_changed_configuration_is_refused_with_every_key(registry, make, stopped):
    run = stopped(1, 1)
    changed = make(output=run, seed=3, training={"lr": 0.2, "epochs": 4})
    with pytest.raises(ConfigChangedError) as raised:
        Search(changed, registry=registry).run(resume="must")
    lines = str(raised.value).splitlines()
    assert lines[0] == f"run {run} was started with another configuration:"
    assert lines[1:-1] == [
        "  training.epochs: 3 in the run, 4 now",
        "  training.lr: 0.1 in the run, 0.2 now",
        "  seed: 0 in the run, 3 now",
    ]
    assert raised.value.exit_code == 2


def test_an_edited_config_file_is_refused_too(registry, stopped):
    run = stopped(1, 1)
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("lr: 0.1", "lr: 0.3"))
    with pytest.raises(ConfigChangedError, match=r"training\.lr: 0\.1 in the run, 0\.3 now"):
        _finish(run, registry)


def test_a_run_from_before_an_option_was_there_goes_on(registry, stopped, whole, the_outcome, same):
    run = stopped(1, 1)
    directory = RunDirectory(run)
    newest = directory.read_checkpoint()
    del newest.state["config"]["processes"], newest.state["config"]["training"]["warmup_share"]
    directory.write_checkpoint(newest.state, epoch=1, step=99)
    kept = [line for line in (run / "config.yaml").read_text().splitlines() if "warmup" not in line]
    (run / "config.yaml").write_text("\n".join(kept))
    _finish(run, registry)
    same(the_outcome(run), whole)


def test_what_changes_no_result_may_change(registry, make, stopped, whole, the_outcome, same):
    run = stopped(1, 1)
    changed = make(output=run, threads=1, checkpoint={"every_steps": 0, "keep": 5})
    Search(changed, registry=registry).run(resume="allow")
    same(the_outcome(run), whole)


def test_a_run_in_use_is_refused(registry, make, stopped):
    run = stopped(1, 1)
    held = RunDirectory(run)
    held.lock()
    with pytest.raises(RunLockedError, match="in use by process"):
        _finish(run, registry)
    held.release()
    assert _status(run)["status"] == "interrupted"


def test_other_versions_are_mentioned(registry, stopped, caplog):
    run = stopped(1, 1)
    environment = json.loads((run / "environment.json").read_text())
    environment["versions"]["torch"] = "1.0"
    (run / "environment.json").write_text(json.dumps(environment))
    _finish(run, registry)
    assert "started with other versions (torch 1.0 -> " in caplog.text


def _limited(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_a_full_disk_ends_the_search_and_leaves_a_run_that_goes_on(
    registry, make, tmp_path, whole, the_outcome, same
):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    run = tmp_path / "run"
    # Files above 100 bytes cannot be written: what the kernel says is EFBIG, not ENOSPC.
    search = Search(
        make(output=run), registry=registry, listeners=[_At(1, 1, lambda: _limited(100))]
    )
    try:
        with pytest.raises(OutputError, match=r"cannot write .*/checkpoints: .* Free some space"):
            search.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert RunDirectory(run).read_checkpoint().state["place"]["step"] == 4
    _finish(run, registry)
    same(the_outcome(run), whole)


def test_a_removed_directory_ends_the_search_with_a_clear_message(registry, make, tmp_path):
    run = tmp_path / "run"
    remove = _At(1, 1, lambda: shutil.rmtree(run))
    with pytest.raises(OutputError, match=r"cannot write .*: No such .* Its directory was removed"):
        Search(make(output=run), registry=registry, listeners=[remove]).run()
    assert not run.exists()


def test_a_disk_that_turns_read_only_ends_the_search_and_the_run_goes_on(
    registry, make, tmp_path, whole, the_outcome, same, monkeypatch
):
    run = tmp_path / "run"

    def read_only(*args, **kwargs):
        raise OSError(errno.EROFS, "Read-only file system")

    # Permissions do not stop root, as whom tests may run: the call that fails is replaced.
    lock = _At(1, 1, lambda: monkeypatch.setattr("tempfile.mkstemp", read_only))
    with pytest.raises(OutputError, match=r"Read-only file system\. Choose a writable place"):
        Search(make(output=run), registry=registry, listeners=[lock]).run()
    monkeypatch.undo()
    assert _status(run)["status"] == "running"  # nothing else could be written
    _finish(run, registry)
    same(the_outcome(run), whole)


def test_a_failed_search_is_recorded_with_its_reason(registry, make, tmp_path):
    def fail():
        raise ValueError("a listener's fault")

    with pytest.raises(ValueError, match="a listener's fault"):
        Search(make(output=tmp_path / "run"), registry=registry, listeners=[_At(0, 2, fail)]).run()
    status = _status(tmp_path / "run")
    assert (status["status"], status["message"]) == ("failed", "a listener's fault")


def test_a_listener_that_fails_after_the_end_leaves_the_run_done(registry, make, tmp_path):
    from balenas_core.interfaces.events import RunFinished

    def fail(event):
        if isinstance(event, RunFinished):
            raise ValueError("too late")

    with pytest.raises(ValueError, match="too late"):
        Search(make(output=tmp_path / "run"), registry=registry, listeners=[fail]).run()
    assert _status(tmp_path / "run")["status"] == "done"


def test_a_run_that_is_done_is_read_without_an_event(registry, make, tmp_path):
    config = make(output=tmp_path / "run")
    first = Search(config, registry=registry).run()
    events = []
    again = Search(config, registry=registry, listeners=[events.append]).run(resume="allow")
    assert events == []
    assert again.to_dict() == first.to_dict()
    assert again.architecture == first.architecture
    with pytest.raises(ConfigChangedError, match="seed: 0 in the run, 1 now"):
        Search(make(output=tmp_path / "run", seed=1), registry=registry).run(resume="allow")


@pytest.mark.parametrize("every", [0, 1, 5])
def test_checkpoints_change_no_result(registry, make, tmp_path, whole, the_outcome, same, every):
    run = tmp_path / "run"
    steps = []
    write = RunDirectory.write_checkpoint

    def noted(self, state, *, epoch, step):
        steps.append(step)
        return write(self, state, epoch=epoch, step=step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunDirectory, "write_checkpoint", noted)
        config = make(output=run, checkpoint={"every_steps": every})
        Search(config, registry=registry).run()
    assert steps == {0: [4, 8, 12], 1: [*range(1, 13)], 5: [4, 5, 8, 10, 12]}[every]
    same(the_outcome(run), whole)


def test_what_a_process_killed_at_the_start_left_is_no_obstacle(registry, make, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "lock").write_text("{}")
    (run / "status.json").write_text("{}")
    (run / ".config.yaml.x.unfinished").write_text("see")
    assert Search(make(output=run), registry=registry).run(resume="allow").run == run
    assert _status(run)["status"] == "done"
