"""What selections of one run remember of each other's work."""

from dataclasses import replace

import pytest

from balenas_core.distributions import PointDistribution
from balenas_core.engine.components import build_components
from balenas_core.errors import PluginLoadError
from balenas_core.interfaces.proxy import Proxy
from balenas_core.interfaces.selection import Selector
from balenas_core.plugins.builtin import PointOptions
from balenas_core.plugins.options import PluginOptions
from balenas_core.random import generator
from balenas_core.runs.score_log import ScoreLog
from balenas_core.testing import ToySpace, toy_config, toy_context, toy_plugin, toy_registry


class _Options(PluginOptions):
    factor: float = 1.0


class _Size(Proxy):
    calls = 0

    def __init__(self, options):
        self._factor = options.factor

    def score(self, network, batch):
        _Size.calls += 1
        return self._factor * sum(p.numel() for p in network.parameters())


class _Other(Proxy):
    def score(self, network, batch):
        return 0.0


@pytest.fixture
def registry():
    registry = toy_registry()
    registry.add("size", toy_plugin("proxy", _Size, options=_Options))
    registry.add("other", toy_plugin("proxy", _Other))
    return registry


def _calls(registry, log, selector):
    """Return how many networks a selector scores by ``size``, and what it finds."""
    config = toy_config(registry, selector=selector)
    distribution = PointDistribution(
        PointOptions(initial_scale=0.0), decisions=ToySpace().decisions, generator=generator(0)
    )
    context = replace(toy_context(distribution), remember=log.remember)
    _Size.calls = 0
    found = build_components(config, registry).selector.select(context)
    return _Size.calls, found


def test_equal_work_is_done_once_whatever_it_is_part_of(registry, tmp_path):
    log = ScoreLog(tmp_path / "log", "checkpoint")
    calls, alone = _calls(registry, log, {"name": "size", "draws": 30})
    assert calls == len(alone.candidates)
    for again in (
        {"name": "size", "draws": 20, "keep": 2},
        {"name": "size > other", "draws": 30, "survivors": [2]},
    ):
        calls, found = _calls(registry, log, again)
        assert calls == 0
        expected = {c.architecture: c.scores["size"] for c in alone.candidates}
        assert all(expected[c.architecture] == c.scores["size"] for c in found.candidates)


def test_a_stage_that_ranks_no_pool_is_named(registry):
    class Whole(Selector):
        def select(self, context):
            raise AssertionError

    registry.add("whole", toy_plugin("selector", Whole, provides=("stage",)))
    config = toy_config(registry, selector={"name": "size > whole"})
    with pytest.raises(PluginLoadError, match=r"'whole' .*says .* but Whole is no PoolSelector"):
        build_components(config, registry)


def test_other_options_are_other_work(registry, tmp_path):
    log = ScoreLog(tmp_path / "log", "checkpoint")
    _, alone = _calls(registry, log, {"name": "size"})
    calls, doubled = _calls(registry, log, {"name": "size", "factor": 2.0})
    assert calls == len(doubled.candidates)
    assert doubled.chosen.scores["size"] == 2 * alone.chosen.scores["size"]


def test_time_of_work_that_is_not_asked_for_is_not_counted(registry, tmp_path):
    log = ScoreLog(tmp_path / "log", "checkpoint")
    _calls(registry, log, "size")
    again = ScoreLog(tmp_path / "log", "checkpoint")
    _calls(registry, again, "other")
    assert again.reused_seconds == 0
    _calls(registry, again, "size")
    first = again.reused_seconds
    assert first > 0
    _calls(registry, again, "size")
    assert again.reused_seconds == first
