"""Networks of NAS-Bench-201 run as one program."""

import pytest
import torch

from balenas_core.interfaces.proxy import Batch
from balenas_core.interfaces.space import Task
from balenas_core.interfaces.stacked import Stacked
from balenas_core.random import generator, seeded
from balenas_core.scores.network_batch import BatchPassProxy, score_batch
from balenas_space_nb201 import NB201Options, NB201Space

TASK = Task((3, 8, 8), 4)
EDGE_CASES = (
    "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
    "|none~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_1x1~1|none~2|",
    "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|none~0|none~1|skip_connect~2|",
)


def _space(**options):
    return NB201Space(NB201Options(**{"channels": 4, "cells_per_stage": 2, **options}))


def _architectures(space, count):
    source = generator(0, "cells")
    return [*map(space.parse, EDGE_CASES), *(space.random(source) for _ in range(count))]


@pytest.mark.parametrize("count", [1, 20])
def test_every_network_computes_what_it_computes_alone(count):
    space = _space()
    architectures = _architectures(space, count)
    with seeded(0):
        supernet = space.supernet(TASK).double()
    images = torch.randn(8, *TASK.input_shape, generator=generator(1), dtype=torch.float64)
    seen = []

    class Logits(BatchPassProxy):
        def attach(self, run):
            return lambda: seen.append(run.logits.detach()) or 0.0

        def attach_batch(self, run):
            return lambda: seen.extend(run.logits) or [0.0] * run.count

    batch = Batch(images, torch.zeros(8, dtype=torch.int64))
    score_batch(space.network_batch(supernet, architectures), batch, {"logits": Logits()})
    for architecture in architectures:
        Logits().score(space.inherit(supernet, architecture), batch)
    for together, alone in zip(seen[: len(architectures)], seen[len(architectures) :], strict=True):
        torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-10)


def test_equal_beginnings_are_computed_once():
    space = _space(cells_per_stage=1)
    with seeded(0):
        supernet = space.supernet(TASK)
    architectures = list(space.architectures())[::25]
    networks = space.network_batch(supernet, architectures)
    sizes = []
    supernet.cells[0].edges[0].operations["nor_conv_3x3"].register_forward_hook(
        lambda _module, inputs, _output: sizes.append(len(inputs[0]))
    )
    images = torch.randn(2, *TASK.input_shape, generator=generator(0))
    with torch.no_grad():
        networks(Stacked(images, torch.zeros_like(networks.every), 2))
    assert sizes == [2]


def test_partial_channels_are_not_run_together():
    space = _space(partial_channels=2)
    assert space.network_batch(space.supernet(TASK), _architectures(space, 1)) is None
