"""Edge normalisation of PC-DARTS in the DARTS space."""

import pytest
import torch

from balenas_core.distributions import PointDistribution
from balenas_core.engine.modifiers import LimitedDistribution
from balenas_core.plugins.options import PluginOptions
from balenas_core.random import generator
from balenas_space_darts import OPERATIONS, DartsOptions, DartsSpace


@pytest.fixture
def space():
    return DartsSpace(DartsOptions(edge_normalization=True))


def _uniform(space):
    return {d.name: torch.full(d.shape, 1 / d.shape[1]) for d in space.decisions}


def test_edges_are_kept_by_the_product_of_their_weight_and_that_of_their_best_operation(space):
    weights = _uniform(space)
    # Node 3 has edges 2, 3 and 4 of the cell, from nodes 0, 1 and 2.
    for edge, operation, weight in ((2, 3, 0.9), (3, 4, 0.5), (4, 5, 0.4)):
        weights["normal"][edge] = (1 - weight) / 7
        weights["normal"][edge, operation] = weight
    weights["normal_inputs_3"] = torch.tensor([[0.1, 0.3, 0.6]])
    products = {0: 0.09, 1: 0.15, 2: 0.24}
    kept = space.discretize(weights).normal.sources(3)
    assert kept == ((OPERATIONS[5], 2), (OPERATIONS[4], 1))
    assert sorted(products, key=products.get)[-2:] == [1, 2]
    without = DartsSpace(DartsOptions())
    plain = {name: weights[name] for name in ("normal", "reduce")}
    assert [source for _, source in without.discretize(plain).normal.sources(3)] == [0, 1]


def test_none_is_left_out_however_large_it_is(space):
    weights = _uniform(space)
    weights["normal"][:, 0] = 0.99
    weights["normal"][:, 1:] = 0.01 / 7
    assert len(space.discretize(weights).normal.pairs) == 8


def test_one_hot_tables_discretise_to_their_architecture(space):
    source = generator(0)
    for _ in range(20):
        architecture = space.random(source)
        tables = space.one_hot(architecture)
        assert all(tables[f"normal_inputs_{node}"].sum() == 2 for node in (2, 3, 4, 5))
        found = space.discretize(tables)
        assert space.canonical(found) == space.canonical(architecture)


class _Options(PluginOptions):
    initial_scale: float = 1.0


@pytest.mark.parametrize("operations", ["s1", "s2", "darts"])
@pytest.mark.parametrize("edge_normalization", [False, True])
def test_limits_count_over_a_cell_also_where_each_edge_has_a_table(operations, edge_normalization):
    space = DartsSpace(DartsOptions(operations=operations, edge_normalization=edge_normalization))
    distribution = PointDistribution(_Options(), decisions=space.decisions, generator=generator(0))
    kind = "normal"
    with torch.no_grad():
        for name, logits in distribution.named_parameters():
            decision = next(d for d in space.decisions if d.name == name.rpartition(".")[2])
            if "skip_connect" in decision.choices:
                logits[:, decision.choices.index("skip_connect")] += 5
    free = [name for name, _ in distribution.argmax(space).normal.pairs].count("skip_connect")
    limited = LimitedDistribution(distribution, space, {"skip_connect": 2})
    cells = dict(limited.argmax(space).by_kind())
    assert free > 2
    assert [name for name, _ in cells[kind].pairs].count("skip_connect") == 2
    drawn = limited.draw(space, 5, generator(1))
    assert all([n for n, _ in a.normal.pairs].count("skip_connect") <= 2 for a in drawn)
