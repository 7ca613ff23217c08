import copy
import itertools
import math

import pytest
import torch
from hypothesis import given, settings, strategies as st
from pydantic import ValidationError
from torch import nn

from balenas_core.interfaces.proxy import Batch
from balenas_core.plugins.plugin import Plugin
from balenas_core.scores.probing import preserved
from balenas_proxy_synflow import Synflow, SynflowOptions, plugin, synflow
from balenas_proxy_synflow._scaled import plain, scaled


def _batch(dtype=torch.float32, channels=3, size=6, count=4):
    generator = torch.Generator().manual_seed(7)
    images = torch.randn(count, channels, size, size, generator=generator, dtype=torch.float64).to(
        dtype
    )
    return Batch(images, torch.arange(count) % 3)


def _network(dtype=torch.float32, depth=2):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        blocks = [
            nn.Sequential(nn.Conv2d(c, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
            for c in [3] + [4] * (depth - 1)
        ]
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)]
        return nn.Sequential(*blocks, *head).to(dtype)


def _state(network):
    return {
        "tensors": {k: v.clone() for k, v in network.state_dict().items()},
        "ids": [id(p) for p in (*network.parameters(), *network.buffers())],
        "modes": [m.training for m in network.modules()],
        "grads": [p.requires_grad for p in network.parameters()],
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules()],
        "methods": ["forward" in vars(m) for m in network.modules()],
    }


def _assert_same_state(before, after):
    assert before.keys() == after.keys()
    for key, tensor in before["tensors"].items():
        assert torch.equal(tensor, after["tensors"][key]), key
    for key in before.keys() - {"tensors"}:
        assert before[key] == after[key], key


def test_two_linear_layers_give_the_number_worked_out_by_hand():
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor([[1.0, -2.0], [3.0, 4.0]]))
        network[2].weight.copy_(torch.tensor([[-5.0, 6.0]]))
    batch = Batch(torch.zeros(3, 2, 1, 1), torch.zeros(3, dtype=torch.int64))
    # R = 5*(1+2) + 6*(3+4) = 57, and each of the two layers' sums of w dR/dw equals R.
    assert synflow(network, batch) == 114.0
    assert synflow(network, batch, log=True) == pytest.approx(math.log(114), rel=1e-15)


@given(depth=st.integers(1, 4), scale=st.floats(0.01, 100))
@settings(max_examples=10, deadline=None)
def test_scaling_every_weight_scales_the_score_by_the_power_of_the_depth(depth, scale):
    network = nn.Sequential(
        nn.Flatten(), *[nn.Linear(4, 4, bias=False, dtype=torch.float64) for _ in range(depth)]
    )
    batch = _batch(channels=1, size=2)
    before = synflow(network, batch)
    with torch.no_grad():
        for p in network.parameters():
            p.mul_(scale)
    assert synflow(network, batch) == pytest.approx(before * scale**depth, rel=1e-10)


def test_it_equals_the_sum_over_all_paths_of_the_product_of_weights():
    sizes = (3, 4, 2, 3)
    layers = [
        nn.Linear(a, b, bias=False, dtype=torch.float64) for a, b in itertools.pairwise(sizes)
    ]
    batch = Batch(torch.zeros(2, 3, 1, 1), torch.zeros(2, dtype=torch.int64))
    paths = sum(
        math.prod(
            float(layer.weight.detach()[j, i].abs())
            for layer, (i, j) in zip(layers, itertools.pairwise(p), strict=True)
        )
        for p in itertools.product(*map(range, sizes))
    )
    score = synflow(nn.Sequential(nn.Flatten(), *layers), batch)
    assert score == pytest.approx(len(layers) * paths, rel=1e-12)


def _synflow_of_a_stripped_copy(network, batch):
    """The textbook procedure on a copy without batch normalisation."""
    stripped = copy.deepcopy(network).double()
    for parent in list(stripped.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, nn.Identity())
    for p in stripped.parameters():
        p.data.abs_()
    stripped(torch.ones(1, *batch.images.shape[1:], dtype=torch.float64)).sum().backward()
    layers = [m for m in stripped.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    return sum(float((m.weight.detach() * m.weight.grad).abs().sum()) for m in layers)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_equals_the_textbook_procedure_without_batch_normalisation(dtype):
    network, batch = _network(dtype, depth=3), _batch(dtype)
    assert synflow(network, batch) == pytest.approx(
        _synflow_of_a_stripped_copy(network, batch), rel=1e-12
    )


def test_keeping_batch_normalisation_runs_it_in_training_mode_on_the_image_of_ones():
    network, batch = _network(), _batch()
    reference = copy.deepcopy(network).double().train()
    for tensor in (*reference.parameters(), *reference.buffers()):
        tensor.data.abs_()
    reference(torch.ones(1, 3, 6, 6, dtype=torch.float64)).sum().backward()
    layers = [m for m in reference.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    expected = sum(float((m.weight.detach() * m.weight.grad).abs().sum()) for m in layers)
    assert synflow(network, batch, bn="keep") == pytest.approx(expected, rel=1e-12)
    assert synflow(network, batch, bn="keep") != synflow(network, batch)


def test_a_network_whose_output_ignores_its_weights_gets_the_lowest_score():
    class Silent(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x):
            return x.mean((2, 3))

    assert synflow(Silent(), _batch()) == 0.0
    assert synflow(Silent(), _batch(), log=True) == -math.inf
    assert synflow(nn.Flatten(), _batch()) == 0.0


def test_a_branch_multiplied_by_zero_gives_the_lowest_score():
    class Cut(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 1), nn.Linear(4, 2)

        def forward(self, x):
            return self.head(self.conv(x).mul(0.0).mean((2, 3)))

    assert synflow(Cut(), _batch()) == 0.0
    assert synflow(Cut(), _batch(), log=True) == -math.inf


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("value", "depth"), [(1e5, 10), (1e5, 400), (1e-5, 400)])
def test_the_logarithm_is_finite_far_beyond_the_range_of_floats(dtype, value, depth):
    layers = [nn.Linear(4, 4, bias=False) for _ in range(depth)]
    network = nn.Sequential(nn.Flatten(), *layers)
    with torch.no_grad():
        for p in network.parameters():
            p.fill_(value)
    batch = _batch(channels=1, size=2)
    expected = math.log(depth) + depth * math.log(value) + (depth + 1) * math.log(4)
    assert synflow(network, batch, log=True, dtype=dtype) == pytest.approx(expected, rel=1e-6)


def test_overflow_of_the_score_itself_is_the_lowest_rank():
    network = nn.Sequential(nn.Flatten(), *[nn.Linear(4, 4, bias=False) for _ in range(80)])
    with torch.no_grad():
        for p in network.parameters():
            p.fill_(1e5)
    batch = _batch(channels=1, size=2)
    assert synflow(network, batch) == -math.inf
    assert synflow(network, batch, method="autograd") == -math.inf


class _Branches(nn.Module):
    """Every operation that is followed forward, with branches of different depth."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.deep = nn.Sequential(
            nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        )
        self.depthwise = nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4)
        self.largest = nn.MaxPool2d(3, 1, padding=1)
        self.average = nn.AvgPool2d(3, 1, padding=1, count_include_pad=False)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.head = nn.Linear(8 * 4, 3)

    def forward(self, x):
        x = self.norm(self.stem(x))
        shallow = self.average(x) * 0.5 + x.mul(0.0)
        x = sum([self.deep(x.clone()), self.largest(self.depthwise(x)), torch.zeros_like(x), x])
        x = torch.cat([x, shallow / 2], dim=1)
        x = nn.functional.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
        return self.head(self.pool(x).flatten(1))


@pytest.mark.parametrize("scale", [1.0, 1e60])
def test_forward_and_by_autograd_are_the_same(scale):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = _Branches().double()
    with torch.no_grad():
        for p in network.parameters():
            p.mul_(scale)
    score = synflow(network, _batch())
    assert score == pytest.approx(synflow(network, _batch(), method="autograd"), rel=1e-12)
    assert 0 < score < math.inf
    log = synflow(network, _batch(), log=True)
    assert log == pytest.approx(math.log(score), rel=1e-12)


ACTIVATIONS = [
    nn.ELU(),
    nn.GELU(),
    nn.GELU(approximate="tanh"),
    nn.Hardsigmoid(),
    nn.Hardswish(inplace=True),
    nn.Mish(),
    nn.ReLU6(),
    nn.SiLU(inplace=True),
    nn.Sigmoid(),
    nn.Softplus(),
    nn.Tanh(),
    lambda x: x * x.sigmoid_(),
    lambda x: x * nn.functional.hardsigmoid(x.mean((2, 3), keepdim=True)),
]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_activations_and_gates_are_followed_forward(activation, scale):
    layers = [nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 1)]

    class Curved(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(layers)

        def forward(self, x):
            for layer in self.layers:
                x = activation(layer(x))
            return x.mean((2, 3))

    network = Curved().double()
    with torch.no_grad():
        for i, p in enumerate(network.parameters()):
            torch.nn.init.uniform_(p, -scale, scale, torch.Generator().manual_seed(i))
    expected = synflow(network, _batch(), method="autograd")
    with preserved(network):
        for p in network.parameters():
            p.data.abs_()
        ones = torch.ones(1, 3, 6, 6, dtype=torch.float64)
        with torch.no_grad():
            followed = network(scaled(torch.cat([ones, torch.zeros_like(ones)])))
    assert math.ldexp(float(plain(followed)[1].sum()), followed.exponent) == pytest.approx(expected)
    assert synflow(network, _batch()) == pytest.approx(expected, rel=1e-12)


def test_activations_are_linear_or_constant_far_beyond_the_range_of_floats():
    def logarithm(activation):
        layers = [nn.Linear(4, 4, bias=False) for _ in range(400)]
        network = nn.Sequential(nn.Flatten(), *layers, activation, nn.Linear(4, 4, bias=False))
        with torch.no_grad():
            for p in network.parameters():
                p.fill_(1e5)
        return synflow(network, _batch(channels=1, size=2), log=True)

    expected = logarithm(nn.ReLU())
    for activation in (nn.SiLU(), nn.GELU(), nn.Hardswish(), nn.Mish(), nn.ELU()):
        assert logarithm(activation) == expected
    # A saturated activation passes on 1, and of the weights only the last layer's count.
    assert logarithm(nn.Sigmoid()) == pytest.approx(math.log(4 * 4 * 1e5), rel=1e-12)


def _through(function):
    class Through(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 1), nn.Linear(4, 2)

        def forward(self, x):
            return self.head(function(self, self.conv(x)).mean((2, 3)))

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Through()


@pytest.mark.parametrize(
    "function",
    [
        lambda _, x: x.softmax(1),
        lambda _, x: x * torch.tensor(2.0),
        lambda _, x: x * x.flatten(1).sum(),
        lambda _, x: x + 1,
        lambda _, x: x - x / 2,
        lambda _, x: x * -1.0,
        lambda _, x: nn.functional.pad(x, (1, 1), value=1.0),
        lambda _, x: nn.functional.instance_norm(x),
        lambda _, x: x[:1],
        lambda _, x: x.mean(0, keepdim=True),
        lambda s, x: nn.functional.conv2d(x, s.conv.weight[:, :1] - 0.1, groups=4),
    ],
)
def test_what_cannot_be_followed_forward_goes_by_autograd(function):
    network = _through(function)
    assert synflow(network, _batch()) == synflow(network, _batch(), method="autograd")


def test_the_network_is_left_as_found():
    network = _network()
    network[0].eval()
    network[0][0].weight.requires_grad_(False)
    network[1].register_forward_hook(lambda *_: None)
    grad = torch.ones_like(network[-1].bias)
    network[-1].bias.grad = grad
    before = _state(network)
    for bn in ("bypass", "keep"):
        synflow(network, _batch(), bn=bn)
        _assert_same_state(before, _state(network))
    assert network[-1].bias.grad is grad
    assert torch.equal(grad, torch.ones_like(grad))


def test_the_network_is_left_as_found_when_scoring_fails():
    network = nn.Sequential(_network(), nn.Linear(5, 2))  # three outputs into five inputs
    before = _state(network)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        synflow(network, _batch())
    _assert_same_state(before, _state(network))


def test_buffers_that_are_not_numbers_are_no_obstacle():
    network = _network()
    expected = synflow(network, _batch())
    network.register_buffer("mask", torch.tensor([True, False]))
    assert synflow(network, _batch()) == expected


def test_it_scores_where_gradients_are_off():
    network, batch = _network(), _batch()
    expected = synflow(network, batch)
    with torch.no_grad():
        assert synflow(network, batch) == expected
    with torch.inference_mode():
        assert synflow(network, batch) == expected


def test_the_plugin_declares_the_class_and_its_options():
    assert isinstance(plugin, Plugin)
    assert plugin.load_implementation() is Synflow
    network, batch = _network(), _batch()
    score = Synflow(SynflowOptions(log=True)).score(network, batch)
    assert score == synflow(network, batch, log=True)
    assert not Synflow.needs_data
    assert not Synflow.needs_labels


def test_an_unknown_way_with_batch_normalisation_is_refused():
    with pytest.raises(ValidationError, match="'bypass' or 'keep'"):
        SynflowOptions(bn="drop")
    with pytest.raises(ValueError, match=r"'bypass' or 'keep'; got 'drop'"):
        synflow(_network(), _batch(), bn="drop")
