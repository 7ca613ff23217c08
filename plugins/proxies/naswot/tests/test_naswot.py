import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError
from torch import nn

from balenas_core.interfaces.proxy import Batch
from balenas_core.nn import BatchNormMode, ReluConvNorm
from balenas_core.plugins.plugin import Plugin
from balenas_proxy_naswot import Naswot, NaswotOptions, naswot, plugin
from balenas_proxy_naswot._naswot import code_kernel, log_determinant


def _batch(dtype=torch.float32, count=6, size=5):
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(count, 3, size, size, generator=generator, dtype=torch.float64).to(dtype)
    return Batch(images, torch.arange(count) % 3)


def _network(dtype=torch.float32):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, 3),
        ).to(dtype)


def _relu_only(images):
    return Batch(torch.tensor(images), torch.zeros(len(images), dtype=torch.int64))


def test_two_images_give_the_number_worked_out_by_hand():
    # Codes 110 and 100: K = [[3, 2], [2, 3]], det 5.
    batch = _relu_only([[1.0, 2.0, -1.0], [1.0, -2.0, 0.0]])
    assert naswot(nn.ReLU(), batch) == pytest.approx(math.log(5), rel=1e-15)


def test_a_module_that_is_called_twice_counts_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu = nn.ReLU()

        def forward(self, x):
            return self.relu(self.relu(x))

    # The same codes twice double K: det 4 * 5.
    batch = _relu_only([[1.0, 2.0, -1.0], [1.0, -2.0, 0.0]])
    assert naswot(Twice(), batch) == pytest.approx(math.log(20), rel=1e-15)


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=4, max_side=6)))
@settings(max_examples=50, deadline=None)
def test_the_kernel_counts_the_units_on_which_two_images_agree(active):
    kernel = code_kernel(torch.from_numpy(np.where(active, 0.5, -0.0))).numpy()
    agreements = (active[..., :, None, :] == active[..., None, :, :]).sum(-1)
    np.testing.assert_array_equal(kernel, agreements)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_equals_an_explicit_kernel_of_the_pre_activations(dtype):
    network, batch = _network(dtype), _batch(dtype)
    x = batch.images
    kernel = np.zeros((6, 6))
    for conv in (network[0], network[3]):
        with torch.no_grad():
            x = conv(x)
        mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, correction=0)
        x = (x - mean) / (var + 1e-5).sqrt()
        c = (x > 0).flatten(1).numpy().astype(float)
        kernel += c @ c.T + (1 - c) @ (1 - c).T
        x = x.clamp_min(0)
    assert naswot(network, batch) == pytest.approx(np.linalg.slogdet(kernel)[1], rel=1e-12)


@given(st.permutations(range(6)))
@settings(max_examples=10, deadline=None)
def test_the_order_of_the_images_does_not_matter(order):
    network, batch = _network(torch.float64), _batch(torch.float64)
    shuffled = Batch(batch.images[list(order)], batch.labels)
    assert naswot(network, shuffled) == pytest.approx(naswot(network, batch), rel=1e-10)


def test_float32_and_float64_agree():
    score = naswot(_network(torch.float32), _batch(torch.float32))
    assert score == pytest.approx(naswot(_network(torch.float64), _batch(torch.float64)), rel=1e-7)


def test_by_name_counts_a_block_that_is_called_relu_and_holds_one_twice():
    class ReLUConvBN(nn.Module):
        def __init__(self):
            super().__init__()
            self.op = nn.Sequential(nn.ReLU(), nn.Identity())

        def forward(self, x):
            return self.op(x)

    batch = _relu_only([[1.0, 2.0, -1.0], [1.0, -2.0, 0.0]])
    assert naswot(ReLUConvBN(), batch) == pytest.approx(math.log(5), rel=1e-15)
    assert naswot(ReLUConvBN(), batch, layers="name") == pytest.approx(math.log(20), rel=1e-15)


def test_by_name_counts_the_blocks_of_cells_twice_too():
    batch = _relu_only([[1.0, 2.0, -1.0], [1.0, -2.0, 0.0]])
    images = batch.images[:, :, None, None]
    block = ReluConvNorm((3, 2), 1, norm=BatchNormMode())
    assert naswot(block, Batch(images, batch.labels)) == pytest.approx(math.log(5), rel=1e-15)
    score = naswot(block, Batch(images, batch.labels), layers="name")
    assert score == pytest.approx(math.log(20), rel=1e-15)


@pytest.mark.parametrize("count", [2, 7, 64])
def test_two_equal_images_are_degenerate(count):
    batch = _batch(count=count)
    images = batch.images.clone()
    images[-1] = images[0]
    assert naswot(_network(), Batch(images, batch.labels)) == -math.inf


def test_a_network_without_a_relu_is_degenerate():
    assert naswot(nn.Conv2d(3, 4, 1), _batch()) == -math.inf


def test_a_network_that_ignores_its_input_is_degenerate():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU())
    nn.init.zeros_(network[0].weight)
    assert naswot(network, _batch()) == -math.inf


def test_non_finite_activations_do_not_give_nan():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
    nn.init.constant_(network[0].weight, math.nan)
    assert naswot(network, _batch()) == -math.inf


def test_a_singular_matrix_has_no_determinant_and_a_regular_one_its_own():
    assert log_determinant(torch.ones(3, 3, dtype=torch.float64)) == -math.inf
    assert log_determinant(torch.zeros(3, 3, dtype=torch.float64)) == -math.inf
    assert log_determinant(2 * torch.eye(3, dtype=torch.float64)) == pytest.approx(3 * math.log(2))


def test_the_network_is_left_as_found_also_when_scoring_fails():
    network = _network().eval()
    network[2].train()
    state = {k: v.clone() for k, v in network.state_dict().items()}
    images = _batch().images
    before = images.clone()
    naswot(network, _batch())
    with pytest.raises(RuntimeError, match="to have 3 channels"):
        naswot(network, Batch(torch.randn(4, 5, 6, 6), torch.zeros(4, dtype=torch.int64)))
    for key, value in network.state_dict().items():
        assert torch.equal(value, state[key]), key
    assert [m.training for m in network.modules()] == [i == 3 for i in range(10)]
    assert not any(m._forward_pre_hooks for m in network.modules())
    assert torch.equal(images, before)


def test_the_images_are_not_written_to_by_a_network_that_works_in_place():
    batch = _relu_only([[1.0, 2.0, -1.0], [1.0, -2.0, 0.0]])
    naswot(nn.ReLU(inplace=True), batch)
    assert float(batch.images.min()) == -2.0


def test_the_plugin_declares_the_class_and_its_options():
    assert isinstance(plugin, Plugin)
    assert plugin.load_implementation() is Naswot
    network, batch = _network(), _batch()
    assert Naswot(NaswotOptions()).score(network, batch) == naswot(network, batch)


def test_an_unknown_choice_of_layers_is_refused():
    with pytest.raises(ValidationError, match="'relu' or 'name'"):
        NaswotOptions(layers="all")
    with pytest.raises(ValueError, match="'relu' or 'name'; got 'all'"):
        naswot(_network(), _batch(), layers="all")
