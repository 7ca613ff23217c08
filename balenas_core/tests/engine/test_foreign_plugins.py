"""Searches with plugins that end the program, or return what nothing can be made of."""

from __future__ import annotations

import json

import pytest
import torch

from balenas_core import Proxy, Search, Selection, Selector
from balenas_core.engine._fitness import check_data, check_selection, check_space
from balenas_core.errors import (
    BalenasError,
    ForeignExit,
    PluginLoadError,
    SelectionError,
    UnfitError,
)
from balenas_core.interfaces.events import detached
from balenas_core.interfaces.space import Task
from balenas_core.plugins.hooks import hookimpl
from balenas_core.testing import (
    ToyOptimizer,
    ToySpace,
    toy_config,
    toy_data,
    toy_plugin,
    toy_registry,
)


def search(registry, **changes):
    return Search(toy_config(registry, **changes), registry=registry)


class Scores(Proxy):
    """Gives every network one value, or raises it."""

    needs_data = False

    def __init__(self, value):
        self.value = value

    def score(self, network, batch):
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value


@pytest.mark.parametrize("value", [SystemExit(0), KeyboardInterrupt(), GeneratorExit(), None, "x"])
def test_a_proxy_that_gives_no_number_ends_in_an_error_that_names_it(value):
    registry = toy_registry()
    registry.add("odd", toy_plugin("proxy", lambda: Scores(value)))
    with pytest.raises(SelectionError, match=r"proxy 'odd' \(from \(run time\)\) failed with"):
        search(registry, selector="odd").run()


@pytest.mark.parametrize("value", [float("nan"), -float("inf"), float("inf")])
def test_scores_of_which_none_is_finite_choose_nothing(value):
    registry = toy_registry()
    registry.add("blind", toy_plugin("proxy", lambda: Scores(value)))
    with pytest.raises(SelectionError, match=r"nothing to rank the .* every score of blind is"):
        search(registry, selector="blind").run()


def test_a_proxy_that_says_nothing_beside_one_that_does_is_warned_of(caplog):
    registry = toy_registry()
    registry.add("blind", toy_plugin("proxy", lambda: Scores(-float("inf"))))
    registry.add("one", toy_plugin("proxy", lambda: Scores(1.0)))
    search(registry, selector="blind+one").run()
    assert "proxy 'blind' gives none of the" in caplog.text


class Chooses(Selector):
    """Returns what it was given."""

    def __init__(self, value):
        self.value = value

    def select(self, context):
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, r"select\(\) must return a Selection; got nothing"),
        (Selection(()), r"must return at least one candidate; got none"),
        ((1, 2), r"got an object of tuple"),
    ],
)
def test_a_selector_that_chooses_nothing_is_named(value, message):
    registry = toy_registry()
    registry.add("empty", toy_plugin("selector", lambda: Chooses(value)))
    with pytest.raises(PluginLoadError, match=rf"selector plugin 'empty' .*{message}"):
        search(registry, selector="empty").run()


def test_a_selector_that_exits_ends_the_search_by_an_error(tmp_path):
    registry = toy_registry()
    registry.add("quits", toy_plugin("selector", lambda: Chooses(SystemExit(0))))
    with pytest.raises(ForeignExit, match="SystemExit: 0"):
        search(registry, selector="quits", output=tmp_path / "run").run()
    status = json.loads((tmp_path / "run/status.json").read_text())
    assert (status["status"], status["message"]) == ("failed", "SystemExit: 0")


def test_an_optimizer_that_returns_no_loss_is_named():
    class Silent(ToyOptimizer):
        def step(self, objective):
            super().step(objective)

    registry = toy_registry()
    registry.add("sgd", toy_plugin("optimizer", Silent, defaults={"distribution": "point"}))
    with pytest.raises(PluginLoadError, match=r"optimizer plugin 'sgd'.*step\(\) must return the"):
        search(registry).run()


@pytest.mark.parametrize("kind", ["space", "dataset", "selector", "proxy", "tracker"])
def test_what_makes_an_object_of_no_kind_is_named(kind, caplog):
    registry = toy_registry()
    registry.add("odd", toy_plugin(kind, dict, provides=("supernet",) if kind == "space" else ()))
    key = {"dataset": "data", "proxy": "selector", "tracker": "trackers"}.get(kind, kind)
    config = {key: ["odd"] if kind == "tracker" else "odd"}
    if kind == "tracker":
        search(registry, **config).run()
        assert "made an object of dict, which is no Tracker" in caplog.text
    else:
        with pytest.raises(PluginLoadError, match=rf"{kind} plugin 'odd' .*made an object of dict"):
            search(registry, **config).run()


def test_a_distribution_that_claims_what_it_is_not_is_the_one_that_is_named():
    from balenas_core.distributions import PointDistribution
    from balenas_core.plugins.builtin import PointOptions

    registry = toy_registry()
    claim = toy_plugin(
        "distribution", PointDistribution, options=PointOptions, provides=("gaussian",)
    )
    registry.add("claims", claim)
    with pytest.raises(PluginLoadError, match=r"distribution plugin 'claims'.*no GaussianDistr"):
        search(registry, distribution="claims").run()


def _space(**methods):
    return type("Odd", (ToySpace,), methods)()


SPACES = {
    "network": (lambda self, architecture, task: None, r"network\(\) must return a torch.nn"),
    "random": (lambda self, generator: "text", r"random\(\) must return an Architecture"),
    "discretize": (lambda self, weights: None, r"discretize\(\) must return an Architecture"),
}


@pytest.mark.parametrize("method", SPACES)
def test_a_space_that_returns_garbage_is_refused(method):
    function, message = SPACES[method]
    with pytest.raises(UnfitError, match=message):
        check_space(_space(**{method: function}), Task((1, 8, 8), 3))


@pytest.mark.parametrize("decisions", [(), None, ("text",)])
def test_a_space_without_decisions_is_the_one_that_is_named(decisions):
    odd = type("Odd", (ToySpace,), {"decisions": property(lambda self: decisions)})
    registry = toy_registry()
    registry.add("toy", toy_plugin("space", odd, provides=("supernet",)))
    with pytest.raises(PluginLoadError, match=r"space plugin 'toy' .*decisions must be a tuple of"):
        search(registry).run()


@pytest.mark.parametrize("field", ["input_shape", "class_names"])
def test_a_data_set_without_shape_or_classes_is_the_one_that_is_named(field):
    from dataclasses import replace

    registry = toy_registry()
    registry.add("data", toy_plugin("dataset", lambda: replace(toy_data(), **{field: None})))
    with pytest.raises(PluginLoadError, match=r"dataset plugin 'data' .*input_shape must be"):
        search(registry).run()


def test_a_space_and_data_that_work_pass():
    dataset = toy_data()
    check_data(dataset)
    check_space(ToySpace(), Task(dataset.input_shape, dataset.num_classes))


DATA = {
    "input_shape": ((8, 8), "input_shape must be"),
    "class_names": ("abc", "class_names must be a list"),
    "normalize": (lambda image: image, r"normalize\(\) must return a float tensor"),
    "augment": (lambda image: torch.full((1, 8, 8), float("nan")), "not finite|must return"),
}


@pytest.mark.parametrize("field", DATA)
def test_a_data_set_that_returns_garbage_is_refused(field):
    from dataclasses import replace

    value, message = DATA[field]
    with pytest.raises(UnfitError, match=message):
        check_data(replace(toy_data(), **{field: value}))


def test_a_choice_of_another_space_is_refused():
    class Stranger:
        def __str__(self):
            return "no architecture of this space"

    from balenas_core import Candidate

    selection = Selection((Candidate(Stranger(), 1, {}, False, 0),))
    with pytest.raises(UnfitError, match="which is none of the space's"):
        check_selection(selection, ToySpace())


def test_what_a_hook_changes_in_an_event_changes_no_result(tmp_path):
    class Forger:
        @hookimpl
        def balenas_epoch_ended(self, event):
            event.metrics["validation_accuracy"] = 12345.0

        @hookimpl
        def balenas_architecture_selected(self, event):
            event.selection.candidates[0].scores["forged"] = 1.0

    registry = toy_registry()
    registry.hooks.register(Forger(), name="acme:forger")
    result = search(registry, output=tmp_path / "run").run()
    assert registry.hooks.failures == []
    assert "12345" not in (tmp_path / "run/result.json").read_text()
    assert "12345" not in (tmp_path / "run/metrics.jsonl").read_text()
    assert "forged" not in result.selection.chosen.scores


def test_events_without_tables_are_handed_on_as_they_are():
    event = object()
    assert detached(event) is event


def test_a_supernet_that_cannot_leave_a_slot_out_is_named():
    class Strict(ToySpace):
        def supernet(self, task):
            supernet = super().supernet(task)
            forward = supernet.forward

            def strict(x, weights):
                if any((table.sum(-1) == 0).any() for table in weights.values()):
                    raise ZeroDivisionError("no operation")
                return forward(x, weights)

            supernet.forward = strict
            return supernet

    from balenas_core.plugins.builtin import perturbation

    registry = toy_registry()
    registry.add("toy", toy_plugin("space", Strict, provides=("supernet",)))
    registry.add("perturbation", perturbation)
    with pytest.raises(BalenasError, match=r"space plugin 'toy'.*A row of zeros means"):
        search(registry, selector="perturbation").run()
