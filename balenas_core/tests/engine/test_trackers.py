"""Trackers in a search, and the events of a search as a run of a tracker."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from balenas_core import Search
from balenas_core.errors import ConfigError, DivergenceError, SearchInterrupted, UsageError
from balenas_core.interfaces.benchmark import BenchmarkEntry
from balenas_core.interfaces.events import EpochEnded, SearchFailed, SearchStarted, StepEnded
from balenas_core.interfaces.tracker import (
    RunTracker,
    TrackedRun,
    Tracker,
    flat_config,
    result_values,
)
from balenas_core.testing import (
    ToyOptimizer,
    toy_config,
    toy_plugin,
    toy_registry,
)


class Diary(TrackedRun):
    """Keeps what it is told, by step."""

    def __init__(self, id, first_step):
        super().__init__(id)
        self.first_step = first_step
        self.values, self.selected, self.status = {}, None, None

    def log(self, values, step):
        self.values.setdefault(step, {}).update(values)

    def log_selection(self, selection, step):
        self.selected = (str(selection.chosen.architecture), step)

    def end(self, status, step):
        assert self.status is None
        self.status = status


@pytest.fixture
def registry():
    return toy_registry()


@pytest.fixture
def diaries(registry):
    """Register the tracker ``diary``, and return the runs that it makes."""
    made = []

    def open_run(event, id):
        made.append(Diary(id or f"id-{len(made)}", event.first_step))
        return made[-1]

    def build(every_steps=3, place="here"):
        return RunTracker("diary", open_run, place={"place": place}, every_steps=every_steps)

    registry.add("diary", toy_plugin("tracker", build))
    registry.add("diary_elsewhere", toy_plugin("tracker", lambda: build(place="there")))
    registry.add("diary_of_epochs", toy_plugin("tracker", lambda: build(every_steps=0)))
    return made


def search(registry, listeners=(), trackers=("diary",), **changes):
    config = toy_config(registry, trackers=list(trackers), **changes)
    return Search(config, registry=registry, listeners=listeners)


def stop_after(steps, registry, **changes):
    """Interrupt a search after so many steps."""

    def count(event):
        if isinstance(event, StepEnded) and event.epoch * 4 + event.step + 1 == steps:
            running.request_stop()

    running = search(registry, [count], **changes)
    with pytest.raises(SearchInterrupted):
        running.run()


class TestATrackerThatFails:
    def broken(self, registry, error, at):
        calls = []

        class Broken(Tracker):
            def handle(self, event):
                calls.append(event)
                if isinstance(event, at):
                    raise error

        registry.add("broken", toy_plugin("tracker", Broken))
        return calls

    @pytest.mark.parametrize("at", [SearchStarted, StepEnded, EpochEnded])
    def test_is_reported_and_switched_off_and_the_search_goes_on(
        self, registry, diaries, caplog, at
    ):
        calls = self.broken(registry, RuntimeError("no server"), at)
        result = search(registry, trackers=["broken", "diary"]).run()
        assert isinstance(calls[-1], at)
        assert len([call for call in calls if isinstance(call, at)]) == 1
        assert caplog.messages == [
            "tracker 'broken' failed and is switched off: RuntimeError: no server"
        ]
        assert diaries[0].selected == (str(result.architecture), 8)

    def test_at_the_failure_of_a_search_does_not_hide_it(self, registry, caplog):
        self.broken(registry, RuntimeError("no server"), SearchFailed)
        stop_after(3, registry, trackers=["broken"])
        assert "no server" in caplog.text

    @pytest.mark.parametrize(
        ("error", "message"),
        [
            (ModuleNotFoundError("No module named 'acme'"), "No module named 'acme'"),
            (UsageError("has no directory; set output"), "off: has no directory; set output"),
        ],
    )
    def test_when_it_is_built_is_switched_off_too(self, registry, caplog, error, message):
        def build():
            raise error

        registry.add("broken", toy_plugin("tracker", build))
        assert search(registry, trackers=["broken"]).run().metrics
        assert "tracker 'broken' failed and is switched off: " in caplog.text
        assert message in caplog.text

    def test_to_import_its_library_is_switched_off_too(self, registry, caplog):
        registry.add("broken", toy_plugin("tracker", "balenas_no_such_module:Tracker"))
        assert search(registry, trackers=["broken"]).run().metrics
        assert "No module named 'balenas_no_such_module'" in caplog.text

    @pytest.mark.parametrize("error", [SystemExit(0), KeyboardInterrupt(), GeneratorExit()])
    def test_ends_no_search_by_what_is_no_error(self, registry, diaries, caplog, error):
        self.broken(registry, error, EpochEnded)
        result = search(registry, trackers=["broken", "diary"]).run()
        assert diaries[0].status == "finished"
        assert str(result.architecture)
        assert f"is switched off: {type(error).__name__}" in caplog.text

    def test_by_an_interrupt_of_the_user_ends_the_search(self, registry, diaries):
        class Interrupted(Tracker):
            def handle(self, event):
                if isinstance(event, EpochEnded):
                    os.kill(os.getpid(), signal.SIGINT)

        registry.add("broken", toy_plugin("tracker", Interrupted))
        with pytest.raises(KeyboardInterrupt):
            search(registry, trackers=["broken", "diary"]).run()
        assert diaries[0].status == "interrupted"

    def test_a_listener_that_always_raises_does_not_keep_the_failure_from_trackers(
        self, registry, diaries
    ):
        def listener(event):
            raise RuntimeError("my fault")

        with pytest.raises(RuntimeError, match="my fault"):
            search(registry, [listener]).run()
        assert diaries[0].status == "failed"


class TestARunOfATracker:
    def test_has_epochs_and_some_steps_on_one_axis(self, registry, diaries):
        result = search(registry).run()
        (diary,) = diaries
        assert sorted(diary.values) == [3, 4, 6, 8]
        assert diary.values[4]["epoch"] == 0
        assert diary.values[4]["epoch/train_loss"] == result.metrics[0]["train_loss"]
        assert diary.values[4]["epoch/architecture"] == result.metrics[0]["architecture"]
        assert set(diary.values[3]) == {"step/train_loss", "step/validation_loss"}
        assert diary.values[8]["result/validation_accuracy"] == result.validation_accuracy
        assert diary.status == "finished"

    def test_leaves_steps_out_on_request(self, registry, diaries):
        search(registry, trackers=["diary_of_epochs"]).run()
        assert sorted(diaries[0].values) == [4, 8]

    def test_goes_on_when_the_search_does(self, registry, diaries, tmp_path):
        stop_after(6, registry, output=tmp_path / "run")
        assert diaries[0].status == "interrupted"
        search(registry, output=tmp_path / "run").run(resume="must")
        before, after = diaries
        assert after.id == before.id
        assert after.first_step == 6
        assert (sorted(before.values), sorted(after.values)) == ([3, 4, 6], [8])
        kept = json.loads((tmp_path / "run" / "trackers" / "diary.json").read_text())
        assert kept == {"place": "here", "id": "id-0"}

    def test_is_a_new_one_in_another_place(self, registry, diaries, tmp_path):
        stop_after(6, registry, output=tmp_path / "run")
        search(registry, trackers=["diary_elsewhere"], output=tmp_path / "run").run(resume="must")
        assert [diary.id for diary in diaries] == ["id-0", "id-1"]

    def test_is_a_new_one_for_every_search_that_writes_nothing(self, registry, diaries):
        for _ in range(2):
            search(registry).run()
        assert [diary.id for diary in diaries] == ["id-0", "id-1"]

    def test_of_a_search_that_diverges_has_failed(self, registry, diaries):
        class Exploding(ToyOptimizer):
            def step(self, objective):
                raise DivergenceError("loss is inf")

        plugin = toy_plugin("optimizer", Exploding, defaults={"distribution": "point"})
        registry.add("exploding", plugin)
        with pytest.raises(DivergenceError):
            search(registry, optimizer="exploding").run()
        assert diaries[0].status == "failed"


def test_the_same_tracker_twice_is_refused(registry, diaries):
    with pytest.raises((ConfigError, ValueError), match=r"'diary' is given twice"):
        toy_config(registry, trackers=["diary", {"name": "diary"}])


def test_a_configuration_is_flat_and_its_lists_are_text(registry, diaries):
    flat = flat_config(toy_config(registry, trackers=["diary"]))
    assert flat["space.name"] == "toy"
    assert flat["training.epochs"] == 2
    assert json.loads(flat["trackers"]) == [{"name": "diary"}]
    assert all(value is None or isinstance(value, str | int | float) for value in flat.values())


def test_a_result_is_numbers_with_those_of_the_benchmark(registry):
    result = search(registry, trackers=[]).run()
    entry = BenchmarkEntry("cifar10", "accuracy", 90.0, 94.0, 11, 100)
    values = result_values(dataclasses.replace(result, benchmark=(entry,)))
    assert values["result/search_seconds"] == result.seconds["search"]
    assert {name: values[name] for name in values if name.startswith("benchmark")} == {
        "benchmark/cifar10/accuracy": 90.0,
        "benchmark/cifar10/accuracy/regret": 4.0,
        "benchmark/cifar10/accuracy/rank": 11.0,
        "benchmark/cifar10/accuracy/percentile": 90.0,
    }


def test_the_tracker_that_the_documentation_writes_works(registry, tmp_path, monkeypatch):
    page = (Path(__file__).parents[3] / "docs" / "trackers.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    module = ModuleType("acme_lines")
    module.Options = SimpleNamespace
    monkeypatch.setitem(sys.modules, "acme_lines", module)
    exec(code, names := {})
    options = SimpleNamespace(path=tmp_path / "lines.txt", every_steps=0)
    registry.add("lines", toy_plugin("tracker", lambda: names["make_tracker"](options)))
    result = search(registry, trackers=["lines"]).run()
    lines = (tmp_path / "lines.txt").read_text().splitlines()
    assert f"4 epoch/train_loss {result.metrics[0]['train_loss']}" in lines
    assert f"8 chosen {result.architecture}" in lines
    assert lines[-1] == "8 finished"
