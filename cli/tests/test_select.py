"""``balenas select``, and runs that are finished with another selector."""

from __future__ import annotations

import json
from pathlib import Path

from balenas_core import Proxy

TOY = (
    "search", "--space", "toy", "--optimizer", "toy_adam", "--selector", "toy_params",
    "--check-epochs", "0",
    "--epochs", "2", "--batch-size", "256", "--draws", "16", "--quiet",
)  # fmt: skip


def test_a_selection_stands_beside_the_run_and_is_shown_with_it(call, tmp_path):
    own = json.loads(call(*TOY, "--output", "here", "--json").out)
    chosen = call("select", "here", "--selector", "random", "--draws", "5", "--threads", "1")
    assert chosen.code == 0, chosen.err
    assert "The selection is kept in here/selections/random.json." in chosen.out
    assert "another seed" not in chosen.out
    named = call("select", "here", "--selector", "random", "--name", "second", "--json")
    kept = json.loads((tmp_path / "here" / "selections" / "second.json").read_text())
    assert kept["selector"] == {
        "name": "random", "draws": 64, "neighbors": 0, "keep": 1, "max_params": None,
        "max_flops": None, "max_latency": None, "latency": "latency",
    }  # fmt: skip
    assert json.loads(named.out)["architecture"] == kept["architecture"]
    shown = call("runs", "show", "here").out
    assert "selection random" in shown
    assert "selection second" in shown
    listed = json.loads(call("runs", "show", "here", "--json").out)
    assert list(listed["selections"]) == ["random", "second"]
    assert listed["result"]["architecture"] == own["architecture"]


def test_a_selection_that_is_there_is_shown_again(call):
    call(*TOY, "--output", "here")
    first = call("select", "here", "--selector", "random", "--json")
    again = call("select", "here", "--selector", "random", "--json")
    assert json.loads(again.out) == json.loads(first.out)
    assert "here/selections/random.json is done already" in again.err
    other = call("select", "here", "--selector", "random", "--draws", "3")
    assert (other.code, other.out) == (2, "")
    assert "name this selection with --name" in other.err


def test_a_changed_selector_of_a_done_run_leads_to_select(call):
    call(*TOY, "--output", "here")
    for command in (
        ("resume", "here", "--selector", "random"),
        (*TOY, "--output", "here", "--resume", "must", "--selector", "random"),
    ):
        answer = call(*command)
        assert (answer.code, answer.out) == (2, "")
        assert "balenas select here --selector random" in answer.err
        assert "draws" not in answer.err


def test_what_is_no_finished_run_cannot_be_chosen_from(call, tmp_path):
    answer = call("select", "no", "--selector", "random")
    assert answer.code == 2
    assert "no holds no run" in answer.err
    assert list(tmp_path.iterdir()) == []


def test_a_done_run_is_shown_without_its_plugins(call, monkeypatch):
    from balenas_core.plugins.registry import default_registry

    first = call(*TOY, "--output", "here")
    monkeypatch.setenv("BALENAS_DISABLE_PLUGINS", "acme_watch,toy,toy_adam,toy_params")
    default_registry.cache_clear()
    assert call("resume", "here", "--threads", "2").out == first.out
    refused = call("resume", "here", "--set", "seed=1")
    assert refused.code != 0
    assert refused.out == ""


class _Broken(Proxy):
    """A proxy that fails on everything."""

    def score(self, network, batch):
        raise RuntimeError("it is broken")


def test_a_run_whose_selector_fails_can_be_finished_with_another(call, tmp_path: Path):
    from balenas_core.plugins.plugin import Plugin
    from balenas_core.plugins.registry import default_registry

    plugin = Plugin(kind="proxy", summary="broken", api_version=1, implementation=_Broken)
    default_registry().add("broken", plugin)
    answer = call(*TOY, "--output", "here", "--selector", "broken")
    assert answer.code == 1
    assert "balenas resume here [--selector NAME] [--set selector.KEY=VALUE]" in answer.err
    assert call("resume", "here", "--selector", "argmax", "--quiet").code == 0
    status = json.loads((tmp_path / "here" / "status.json").read_text())
    assert (status["status"], status["config"]["selector"]["name"]) == ("done", "argmax")
