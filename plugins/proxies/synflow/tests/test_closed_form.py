import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from balenas_core.errors import UsageError
from balenas_core.interfaces.proxy import Batch
from balenas_core.interfaces.space import Task
from balenas_core.plugins.registry import default_registry
from balenas_core.random import generator, seeded
from balenas_proxy_synflow import synflow, synflow_closed_form

BATCH = Batch(torch.zeros(2, 3, 8, 8), torch.zeros(2, dtype=torch.int64))


class _Branches(nn.Module):
    def __init__(self, pool, bias=True):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.deep = nn.Sequential(
            nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1, bias=bias), nn.Conv2d(6, 6, 1, bias=bias)
        )
        self.depthwise = nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=6, bias=bias)
        self.wide = nn.Conv2d(6, 10, 3, stride=2, padding=1, bias=bias)
        self.narrow = nn.Conv2d(6, 2, 1, stride=2, bias=bias)
        self.pool = pool
        self.mix = nn.Conv2d(12, 4, 1, bias=bias)
        self.head = nn.Linear(4 * 4, 5, bias=bias)

    def forward(self, x):
        x = self.norm(self.stem(x))
        x = self.deep(x) + self.depthwise(x) * 0.5 + self.pool(x) + x.mul(0.0)
        x = torch.cat([self.wide(x), self.narrow(x)], dim=1)
        x = nn.functional.pad(self.mix(x), (1, 1, 1, 1))[:, :, 1:-1, 1:-1]
        return self.head(nn.functional.adaptive_avg_pool2d(x, 2).view(x.size(0), -1))


def _constant(network, law):
    """Give every weight the mean of its absolute value."""
    network = copy.deepcopy(network).double()
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                mean, mean_bias = law(layer.weight[0].numel())
                layer.weight.fill_(mean)
                if layer.bias is not None:
                    layer.bias.fill_(mean_bias)
    return network


LAWS = {
    "torch": lambda fan_in: (0.5 / math.sqrt(fan_in), 0.5 / math.sqrt(fan_in)),
    "kaiming": lambda fan_in: (math.sqrt(4 / (math.pi * fan_in)), 0.0),
}


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("pool", [nn.AvgPool2d(3, 1, 1), nn.MaxPool2d(3, 1, 1)])
def test_it_is_the_flow_of_a_network_whose_weights_are_all_at_their_mean(name, pool):
    network = _Branches(pool)
    constant = _constant(network, LAWS[name])
    expected = synflow(constant, BATCH, method="autograd")
    assert synflow_closed_form(network, BATCH, weights=name) == pytest.approx(expected, rel=1e-12)
    score = synflow_closed_form(constant, BATCH, weights="given")
    assert score == pytest.approx(expected, rel=1e-12)
    log = synflow_closed_form(network, BATCH, weights=name, log=True)
    assert log == pytest.approx(math.log(expected), rel=1e-12)


def test_it_is_the_mean_over_many_draws_of_torchs_weights():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        scores = torch.tensor(
            [synflow(_Branches(nn.AvgPool2d(3, 1, 1)), BATCH) for _ in range(200)]
        )
    error = float(scores.std() / math.sqrt(len(scores)))
    expected = synflow_closed_form(_Branches(nn.AvgPool2d(3, 1, 1)), BATCH)
    assert abs(float(scores.mean()) - expected) < 4 * error
    assert error < 0.02 * expected


def test_it_scores_where_gradients_are_off():
    expected = synflow_closed_form(_Gated(nn.SiLU()), BATCH)
    for off in (torch.no_grad, torch.inference_mode):
        with off():
            assert synflow_closed_form(_Gated(nn.SiLU()), BATCH) == expected


def test_no_weight_is_read_unless_asked_for():
    network = _Branches(nn.AvgPool2d(3, 1, 1))
    expected = synflow_closed_form(network, BATCH)
    with torch.no_grad():
        for p in network.parameters():
            p.fill_(math.nan)
    assert synflow_closed_form(network, BATCH) == expected
    assert synflow_closed_form(network, BATCH, weights="given") == -math.inf


def test_depth_beyond_the_range_of_floats_has_a_logarithm():
    network = nn.Sequential(
        nn.Flatten(), *[nn.Linear(64 if i else 3 * 64, 64, bias=False) for i in range(900)]
    )
    # 64 inputs of mean weight 0.5 / 8 multiply by 4; the first layer by sqrt(192) / 2.
    expected = math.log(900) + 899 * math.log(4) + math.log(math.sqrt(192) / 2 * 64)
    assert synflow_closed_form(network, BATCH, log=True) == pytest.approx(expected, rel=1e-12)
    assert synflow_closed_form(network, BATCH) == -math.inf


def _before_head(function):
    class Before(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 1), nn.Linear(4, 2)

        def forward(self, x):
            return self.head(function(self.conv(x)).mean((2, 3)))

    return Before()


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.softmax(1),
        lambda x: x + 1,
        lambda x: x[:, :2].repeat(1, 2, 1, 1),
        lambda x: nn.functional.pad(x[:, :, :, :], (0, 0, 0, 0, 1, 1))[:, 1:-1],
        lambda x: x.view(x.size(0), 4, -1, 2),
        lambda x: x.mean(1, keepdim=True),
    ],
)
def test_a_network_without_a_closed_form_is_refused_with_the_reason(function):
    with pytest.raises(UsageError, match=r"no closed form for this network, which has .*'synflow'"):
        synflow_closed_form(_before_head(function), BATCH)


def _shuffled(x):
    return torch.cat([x[:, 2:], x[:, :2]], dim=1)


class _Gated(nn.Module):
    """A residual block of a MobileNet: depthwise, squeeze-and-excitation, parts of channels."""

    def __init__(self, activation):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.expand = nn.Conv2d(4, 12, 1, bias=False)
        self.depthwise = nn.Conv2d(12, 12, 3, padding=1, groups=12, bias=False)
        self.reduce, self.gate = nn.Conv2d(12, 3, 1), nn.Conv2d(3, 12, 1)
        self.project = nn.Conv2d(12, 4, 1, bias=False)
        self.activation = activation
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        x = self.stem(x)
        inner = self.activation(self.depthwise(self.activation(self.expand(x))))
        squeezed = self.activation(self.reduce(inner.mean((2, 3), keepdim=True)))
        inner = inner * self.gate(squeezed).sigmoid()
        x = x + _shuffled(self.project(inner))
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("activation", [nn.SiLU(), nn.Hardswish(), nn.GELU(), nn.ReLU6()])
def test_gates_and_curved_activations_are_taken_at_the_mean(name, activation):
    network = _Gated(activation)
    constant = _constant(network, LAWS[name])
    expected = synflow(constant, BATCH, method="autograd")
    assert synflow_closed_form(network, BATCH, weights=name) == pytest.approx(expected, rel=1e-12)


SPACES = {
    "darts": {"channels": 4, "cells": 3},
    "nb1shot1": {"channels": 4, "cells": 3},
    "nb201": {"channels": 4, "cells_per_stage": 1},
    "timm_stages": {"activation": "silu"},
}


@pytest.mark.parametrize("name", SPACES)
def test_it_orders_the_networks_of_every_space_as_synflow_does(name):
    pytest.importorskip(f"balenas_space_{name}", reason=f"needs balenas-space-{name}")
    plugin = default_registry().find("space", name).load()
    space = plugin.load_implementation()(plugin.options(**SPACES[name]))
    source = generator(0)
    closed, drawn = [], []
    for _ in range(24):
        architecture = space.random(source)
        with seeded(0):
            network = space.network(architecture, Task((3, 8, 8), 5))
        closed.append(synflow_closed_form(network, BATCH, weights="given"))
        drawn.append(synflow(network, BATCH))
    assert all(math.isfinite(score) for score in closed)
    ranks = np.argsort(np.argsort([closed, drawn], axis=1), axis=1)
    assert np.corrcoef(ranks)[0, 1] > 0.97


def test_a_network_without_flow_scores_zero():
    network = _before_head(lambda x: x.mul(0.0))
    assert synflow_closed_form(network, BATCH) == 0.0
    assert synflow_closed_form(network, BATCH, log=True) == -math.inf


def test_modes_and_buffers_are_left_as_found():
    network = _Branches(nn.AvgPool2d(3, 1, 1)).train()
    network.norm.eval()
    state = {k: v.clone() for k, v in network.state_dict().items()}
    modes = [m.training for m in network.modules()]
    synflow_closed_form(network, BATCH)
    assert [m.training for m in network.modules()] == modes
    for key, value in network.state_dict().items():
        assert torch.equal(value, state[key]), key
