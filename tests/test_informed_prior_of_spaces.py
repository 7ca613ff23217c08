"""The informed prior of every space: its tables are the decisions', its means those of choices."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from balenas_core import default_registry
from balenas_core.config import InformedPriorConfig
from balenas_core.engine.informed_prior import form_prior
from balenas_core.interfaces.proxy import Batch, Proxy
from balenas_core.interfaces.space import Task
from balenas_core.nn import ReluConvNorm
from balenas_core.scores import ScoringJob
from balenas_space_nb201._network import FixedCell

TASK = Task((3, 16, 16), 4)
NB201 = {"channels": 4, "cells_per_stage": 1}
DARTS = {"channels": 4, "cells": 3}
SPACES = [
    ("nb201", NB201),
    ("nb201", {**NB201, "edge_normalization": True}),
    ("darts", DARTS),
    ("darts", {**DARTS, "edge_normalization": True}),
    ("nb1shot1", {"space": "s1", "channels": 4, "cells": 3}),
    ("nb1shot1", {"space": "s3", "channels": 4, "cells": 3}),
]


def build(kind, name, **options):
    plugin = default_registry().find(kind, name)
    model = plugin.load().options
    return plugin.build(model(**options) if model else None)


@pytest.mark.parametrize(("name", "options"), SPACES)
def test_choices_have_means_and_weights_of_edges_have_none(name, options):
    space = build("space", name, **options)
    images = torch.rand(2, *TASK.input_shape, generator=torch.Generator().manual_seed(0))
    job = ScoringJob(
        space, TASK, {"params": build("proxy", "params")}, Batch(images, torch.arange(2))
    )
    config = InformedPriorConfig.model_construct(architectures=40, rounds=2, scale=1.0)
    prior = form_prior(job, config, seed=0, report=lambda done, total: None)
    assert prior.architectures == 40
    expected = {d.name: d.shape for d in space.decisions if not d.weighs_edges}
    assert {n: tuple(table.shape) for n, table in prior.effects.items()} == expected
    for table in prior.effects.values():
        assert table.isfinite().all()
        torch.testing.assert_close(table.sum(-1), torch.zeros(len(table)), atol=1e-5, rtol=0)
    assert any(table.abs().max() > 0.1 for table in prior.effects.values())
    for distribution in ("gaussian", "gumbel_softmax", "point", "dirichlet"):
        plugin = default_registry().find("distribution", distribution)
        found = plugin.build(
            plugin.load().options(initial_scale=0.0),
            decisions=space.decisions,
            generator=torch.Generator(),
        )
        found.set_offset(prior.offset(1.0))
        for decision in space.decisions:
            if decision.weighs_edges:
                weights = found.mean_weights()[decision.name]
                torch.testing.assert_close(
                    weights, torch.full(decision.shape, 1 / weights.shape[1])
                )
        assert found.argmax(space) is not None


class Shortcut(Proxy):
    """Likes convolutions everywhere; between many of them, a skip from input to output more."""

    def score(self, network, batch):
        del batch
        cell = next(module for module in network.modules() if isinstance(module, FixedCell))
        operations = dict(cell.operations)
        direct = operations.pop("3_0", None)
        inner = sum(isinstance(operation, ReluConvNorm) for operation in operations.values())
        if isinstance(direct, nn.Identity):
            return inner + (2.0 if inner >= 4 else 0.0)
        return inner + 0.9 * isinstance(direct, ReluConvNorm)


def test_rounds_find_what_a_choice_is_worth_among_good_ones():
    space = build("space", "nb201", channels=2, proxy_cells_per_stage=1)
    images = torch.rand(2, *TASK.input_shape, generator=torch.Generator().manual_seed(0))
    job = ScoringJob(space, TASK, {"shortcut": Shortcut()}, Batch(images, torch.arange(2)))
    row = space.decisions[0].slots.index("3<-0")
    direct = {}
    for rounds in (1, 8):
        config = InformedPriorConfig.model_construct(architectures=320, rounds=rounds, scale=1.0)
        prior = form_prior(job, config, seed=0, report=lambda done, total: None)
        values = dict(zip(space.decisions[0].choices, prior.effects["cell"][row].tolist(),
                          strict=True))  # fmt: skip
        direct[rounds] = max(values, key=lambda choice: values[choice])
        assert 200 < prior.architectures <= 320
        assert len(prior.explained) == rounds
    assert direct[1].startswith("nor_conv")
    assert direct[8] == "skip_connect"
