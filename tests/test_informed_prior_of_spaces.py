"""The informed prior of every space: its tables are the decisions', its means those of choices."""

from __future__ import annotations

import pytest
import torch

from balenas_core import default_registry
from balenas_core.engine.informed_prior import form_prior
from balenas_core.interfaces.proxy import Batch
from balenas_core.interfaces.space import Task
from balenas_core.scores import ScoringJob

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
    prior = form_prior(job, 40, seed=0, report=lambda done, total: None)
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
