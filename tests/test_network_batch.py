"""Scores of networks run as one program, by every proxy that can look at it."""

import pytest
import torch

from balenas_core.errors import UsageError
from balenas_core.interfaces.proxy import Batch
from balenas_core.interfaces.space import Task
from balenas_core.plugins.registry import default_registry
from balenas_core.random import generator
from balenas_core.scores import ScoringJob, score_all

TASK = Task((3, 8, 8), 4)
PROXIES = ("naswot", "jacov", "epe_nas", "params")
DEGENERATE = (
    "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
    "|none~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_1x1~1|none~2|",
)


def _built(kind, name, **options):
    plugin = default_registry().find(kind, name).load()
    given = None if plugin.options is None else plugin.options(**options)
    return plugin.load_implementation()(given)


def _space():
    return _built("space", "nb201", channels=4)


def _architectures(space, count):
    source = generator(0, "cells")
    return [*map(space.parse, DEGENERATE), *(space.random(source) for _ in range(count))]


def _batch(dtype):
    images = torch.randn(8, *TASK.input_shape, generator=generator(1), dtype=torch.float64)
    return Batch(images.to(dtype), torch.arange(8) % 4)


def _job(space, dtype, together, names=PROXIES):
    proxies = {name: _built("proxy", name) for name in names}
    return ScoringJob(
        space, TASK, proxies, _batch(dtype), init="supernet", dtype=dtype, together=together
    )


@pytest.mark.parametrize("together", [2, 7, 64])
def test_scores_together_are_those_one_by_one(together):
    space = _space()
    architectures = _architectures(space, 20)
    alone = list(score_all(_job(space, torch.float64, 1), architectures))
    batched = list(score_all(_job(space, torch.float64, together), architectures))
    for one, other in zip(alone, batched, strict=True):
        assert list(other.scores) == list(PROXIES)
        assert other.scores == pytest.approx(one.scores, rel=1e-9)
        assert not other.errors


def test_single_precision_agrees_too():
    space = _space()
    architectures = _architectures(space, 8)
    alone = list(score_all(_job(space, torch.float32, 1, ("naswot",)), architectures))
    batched = list(score_all(_job(space, torch.float32, 32, ("naswot",)), architectures))
    for one, other in zip(alone, batched, strict=True):
        assert other.scores == pytest.approx(one.scores, rel=1e-6)


def test_networks_without_weights_in_common_are_not_run_together():
    with pytest.raises(UsageError, match="8 networks run together only with weights in common"):
        ScoringJob(_space(), TASK, {}, _batch(torch.float32), together=8)


def test_a_space_that_cannot_run_networks_together_says_so():
    space = _built("space", "darts", channels=4, cells=3)
    job = _job(space, torch.float32, 2, ("naswot",))
    with pytest.raises(UsageError, match="DartsSpace cannot run its networks together"):
        next(score_all(job, [space.random(generator(0))]))
