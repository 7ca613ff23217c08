"""Selections that combine proxies as AZ-NAS and TE-NAS do."""

import importlib.util
import math

import numpy as np
import pytest

from balenas_core.config import PluginSection, SearchConfig
from balenas_core.distributions import PointDistribution
from balenas_core.plugins.builtin import PointOptions
from balenas_core.plugins.registry import default_registry
from balenas_core.random import generator, seeded
from balenas_core.testing import toy_context
from balenas_proxy_zerocost import (
    az_expressivity,
    az_progressivity,
    az_trainability,
    flops,
    linear_regions,
    ntk,
)

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("balenas_space_nb201") is None, reason="needs balenas-space-nb201"
)


def nb201():
    plugin = default_registry().find("space", "nb201").load()
    return plugin.load_implementation()(
        plugin.options(channels=4, cells_per_stage=1, proxy_cells_per_stage=2)
    )


def select(name, **options):
    section = PluginSection.resolve("selector", {"name": name, **options}, default_registry())
    space = nb201()
    distribution = PointDistribution(
        PointOptions(initial_scale=0.1), decisions=space.decisions, generator=generator(1)
    )
    context = toy_context(distribution, space=space)
    selector = default_registry().find("selector", name).build(section.options)
    return selector.select(context).candidates, context


def network(candidate, context):
    with seeded(context.seed):
        return context.space.for_proxies().network(candidate.architecture, context.task)


def ascending_ranks(values):
    """1 for the smallest; equal values share the mean of their ranks."""
    return np.array([np.mean(np.flatnonzero(np.sort(values) == v) + 1) for v in values])


def test_az_nas_orders_by_the_sum_of_log_ranks_under_its_four_proxies():
    candidates, context = select("az_nas", draws=12, seed=5)
    proxies = (az_expressivity, az_progressivity, az_trainability)
    for candidate in candidates[:3]:
        expected = {
            p.__name__: p(network(candidate, context), context.batch, seed=5) for p in proxies
        }
        expected["flops"] = flops(network(candidate, context), context.batch)
        assert candidate.scores == expected
    table = {name: [c.scores[name] for c in candidates] for name in candidates[0].scores}
    sums = sum(np.log(ascending_ranks(column) / len(candidates)) for column in table.values())
    assert len(candidates) > 6
    assert (np.diff(sums) <= 1e-12).all()
    assert sums[0] > sums[-1]


def test_te_nas_orders_by_the_sum_of_the_ranks_under_its_two_proxies():
    candidates, context = select("te_nas", draws=8, samples=50, size=2, images=4)
    first = candidates[0]
    assert first.scores["ntk"] == ntk(network(first, context), context.batch, images=4)
    assert first.scores["linear_regions"] == linear_regions(
        network(first, context), context.batch, samples=50, size=2
    )
    ranks = sum(
        ascending_ranks([c.scores[name] for c in candidates]) for name in ("ntk", "linear_regions")
    )
    assert (np.diff(ranks) <= 0).all()
    assert math.isfinite(first.scores["ntk"])


@pytest.mark.parametrize("selector", ["az_nas", "te_nas > random", "synflow > az_nas"])
def test_they_are_named_in_one_word_and_are_stages(selector):
    config = SearchConfig.model_validate(
        {"space": "nb201", "optimizer": "adam", "data": "digits", "selector": selector}
    )
    assert config.selector.name == selector
