"""Choosing anew from a finished search, and finishing one with another selector."""

from __future__ import annotations

import json
import shutil

import pytest

from balenas_core import Search
from balenas_core.config import load_config
from balenas_core.errors import (
    ConfigChangedError,
    SearchInterrupted,
    SelectionError,
    UsageError,
)
from balenas_core.interfaces.events import (
    ArchitectureSelected,
    EpochEnded,
    SelectionProgress,
    StepEnded,
)
from balenas_core.interfaces.proxy import Proxy
from balenas_core.runs.listing import read_run
from balenas_core.runs.stored_result import read_result
from balenas_core.testing import toy_plugin

LOSS = {"name": "loss", "draws": 12}


class _Size(Proxy):
    def score(self, network, batch):
        return float(sum(p.numel() for p in network.parameters()))


class _Broken(Proxy):
    def score(self, network, batch):
        raise RuntimeError("always")


@pytest.fixture(autouse=True)
def _proxies(registry):
    registry.add("size", toy_plugin("proxy", _Size))
    registry.add("broken", toy_plugin("proxy", _Broken))


@pytest.fixture
def run(registry, make, tmp_path):
    Search(make(output=tmp_path / "run"), registry=registry).run()
    return tmp_path / "run"


def _stop_after(search, kind, count):
    seen = []

    def stop(event):
        seen.append(isinstance(event, kind))
        if sum(seen) == count:
            search.request_stop()

    search._listeners.append(stop)


def _scores(result):
    return [(str(c.architecture), dict(c.scores)) for c in result.selection.candidates]


def _comparable(result):
    return {k: v for k, v in result.to_dict().items() if k not in ("seconds", "final_metrics")}


def test_a_selection_finds_what_a_whole_search_with_its_selector_finds(
    registry, make, run, tmp_path
):
    events = []
    config = make(output=run, selector={"name": "size", "draws": 9})
    chosen = Search(config, registry=registry, listeners=[events.append]).select()
    whole = Search(
        make(output=tmp_path / "whole", selector={"name": "size", "draws": 9}), registry=registry
    ).run()
    assert _comparable(chosen) == _comparable(whole)
    assert chosen.validation_accuracy == whole.validation_accuracy
    assert not any(isinstance(event, StepEnded | EpochEnded) for event in events)
    assert sum(isinstance(event, ArchitectureSelected) for event in events) == 1


def test_the_runs_own_files_stay_as_they_were(registry, make, run):
    names = ("config.yaml", "status.json", "result.json", "metrics.jsonl", "distribution.jsonl")
    before = {name: (run / name).read_bytes() for name in names}
    Search(make(output=run, selector="size"), registry=registry).select("by-size")
    assert {name: (run / name).read_bytes() for name in names} == before
    assert list(read_run(run).selections) == ["by-size"]
    assert read_run(run).selections["by-size"]["selector"]["name"] == "size"
    assert read_run(run).status == "done"


def test_a_selection_is_read_back_and_another_of_its_name_refused(registry, make, run):
    first = Search(make(output=run, selector="size"), registry=registry).select()
    events = []
    again = Search(make(output=run, selector="size"), registry=registry, listeners=[events.append])
    assert _comparable(again.select()) == _comparable(first)
    assert events == []
    other = Search(make(output=run, selector={"name": "size", "draws": 3}), registry=registry)
    with pytest.raises(UsageError, match=r"size\.json was made by another selector, 'size', or"):
        other.select()
    assert other.select("size-3").architecture is not None
    with pytest.raises(UsageError, match=r"letters, digits .* \(got '\.\./x'\)"):
        other.select("../x")


def test_stages_are_called_by_their_names(registry, make, run):
    selector = {"name": "loss+size > random", "draws": 9, "survivors": [2]}
    Search(make(output=run, selector=selector), registry=registry).select()
    assert list(read_run(run).selections) == ["loss+size-random"]


def test_a_selection_that_was_stopped_goes_on_to_the_same(registry, make, run, tmp_path):
    copied = shutil.copytree(run, tmp_path / "copy")
    selector = {"name": "size", "draws": 30}
    stopped = Search(make(output=run, selector=selector), registry=registry)
    _stop_after(stopped, SelectionProgress, 3)
    with pytest.raises(SearchInterrupted):
        stopped.select()
    lines = (run / "selection.jsonl").read_text().splitlines()
    assert sum("size@" in line for line in lines) == 2
    assert read_run(run).selections == {}
    assert read_run(run).status == "done"
    resumed = Search(make(output=run, selector=selector), registry=registry).select()
    whole = Search(make(output=copied, selector=selector), registry=registry).select()
    assert _comparable(resumed) == _comparable(whole)
    after = (run / "selection.jsonl").read_text().splitlines()
    assert after[: len(lines)] == lines


def test_what_was_scored_before_is_not_scored_again(registry, make, run, monkeypatch):
    def fail(self, network, batch):
        raise AssertionError("it is known already")

    monkeypatch.setattr(registry.find("proxy", "loss").load_implementation(), "score", fail)
    own = json.loads((run / "result.json").read_text())
    found = Search(make(output=run, selector=LOSS), registry=registry).select()
    assert [text for text, _ in _scores(found)] == [c["architecture"] for c in own["candidates"]]


def test_a_search_that_is_not_finished_cannot_be_chosen_from(registry, make, tmp_path):
    run = tmp_path / "run"
    search = Search(make(output=run), registry=registry)
    _stop_after(search, EpochEnded, 2)
    with pytest.raises(SearchInterrupted):
        search.run()
    with pytest.raises(UsageError) as raised:
        Search(make(output=run, selector="size"), registry=registry).select()
    assert f"the search of {run} is not finished: 2 of 3 epochs" in str(raised.value)
    assert str(raised.value).endswith(f"  balenas resume {run} --selector size")


def test_a_run_without_checkpoints_has_nothing_to_choose_from(registry, make, run):
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(UsageError, match=r"the last checkpoint of .* was removed"):
        Search(make(output=run, selector="size"), registry=registry).select()


def test_more_than_the_selector_must_not_differ(registry, make, run):
    config = make(output=run, selector="size", training={"lr": 0.3})
    with pytest.raises(ConfigChangedError, match=r"training\.lr: 0\.1 in the run, 0\.3 now"):
        Search(config, registry=registry).select()


def test_nor_may_it_differ_where_the_selection_is_there_already(registry, make, run):
    Search(make(output=run, selector=LOSS), registry=registry).select()
    config = make(output=run, selector=LOSS, training={"lr": 0.3})
    with pytest.raises(ConfigChangedError, match=r"training\.lr: 0\.1 in the run, 0\.3 now"):
        Search(config, registry=registry).select()


def test_a_done_run_says_how_to_choose_anew_and_lists_nothing_that_follows(registry, make, run):
    config = make(output=run, selector={"name": "size > random", "draws": 9, "survivors": [2]})
    with pytest.raises(ConfigChangedError) as raised:
        Search(config, registry=registry).run(resume="must")
    assert str(raised.value).splitlines()[1:] == [
        "  selector.name: loss in the run, size > random now",
        "its result stands. Choose once more from what it has learned, without a search, with:",
        f"  balenas select {run} --selector 'size > random'",
    ]


def test_defaults_that_follow_a_change_are_not_listed(registry, make, run, tmp_path):
    config = load_config(
        run / "config.yaml", overrides={"training.lr": 0.0005, "training.lr_min": 0.0001},
        registry=registry,
    )  # fmt: skip
    with pytest.raises(ConfigChangedError, match=r"training\.lr_min: 0\.001 in the run, 0\.0001"):
        Search(config, registry=registry).run(resume="must")
    config = make(output=run, training={"lr": 0.0005})
    assert config.training.lr_min == 0.0005
    with pytest.raises(ConfigChangedError) as raised:
        Search(config, registry=registry).run(resume="must")
    assert str(raised.value).splitlines()[1:-1] == ["  training.lr: 0.1 in the run, 0.0005 now"]


def test_a_run_whose_selector_failed_is_finished_with_another(registry, make, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(SelectionError):
        Search(make(output=run, selector="broken"), registry=registry).run()
    assert read_run(run).status == "failed"
    beside = Search(make(output=run, selector="size"), registry=registry).select()
    assert read_run(run).status == "failed"
    events = []
    search = Search(make(output=run, selector=LOSS), registry=registry, listeners=[events.append])
    found = search.run(resume="must")
    assert not any(isinstance(event, StepEnded) for event in events)
    info = read_run(run)
    assert (info.status, info.setting("selector")) == ("done", "loss")
    assert load_config(run / "config.yaml", registry=registry).selector.name == "loss"
    whole = Search(make(output=tmp_path / "whole", selector=LOSS), registry=registry).run()
    assert _scores(found) == _scores(whole)
    assert list(read_run(run).selections) == ["size"]
    assert read_run(run).selections["size"]["architecture"] == str(beside.architecture)
    assert Search.of_run(run, registry=registry).run(resume="must").selection == found.selection


def test_a_search_that_trains_nothing_can_be_chosen_from(registry, make, tmp_path):
    class _Nothing(registry.find("optimizer", "adam").load_implementation()):
        uses_supernet = False

    registry.add(
        "nothing", toy_plugin("optimizer", _Nothing, defaults={"distribution": "gaussian"})
    )
    changes = {"optimizer": "nothing", "modifiers": {}}
    run = tmp_path / "run"
    Search(make(output=run, **changes), registry=registry).run()
    found = Search(make(output=run, selector="size", **changes), registry=registry).select()
    assert found.validation_accuracy is None
    assert found.selection.chosen.scores["size"] > 0


def test_a_result_is_read_without_the_plugins_that_made_it(registry, make, run):
    own = Search(make(output=run), registry=registry).run(resume="must")
    bare = read_result(run)
    assert _comparable(bare) == _comparable(own)
    assert bare.architecture.cells() == own.architecture.cells() != ()
