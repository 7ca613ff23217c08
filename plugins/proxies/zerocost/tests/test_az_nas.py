import importlib.util
import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from balenas_core.interfaces.proxy import Batch
from balenas_core.interfaces.space import Task
from balenas_core.plugins.registry import default_registry
from balenas_core.scores.formula import fill_by_formula
from balenas_proxy_zerocost import az_expressivity, az_progressivity, az_trainability
from balenas_proxy_zerocost._az_nas import blocks

DENSE = (
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|nor_conv_3x3~1|"
    "+|skip_connect~0|avg_pool_3x3~1|nor_conv_3x3~2|"
)
GIVEN = {"weights": "given", "images": "batch"}


def _features(network, images):
    """The stem's output and every block's, as the network is written."""
    x = network.stem(images)
    features = [x]
    for block in network.body:
        x = block(x)
        features.append(x)
    return features


def _entropy(feature):
    rows = feature.detach().permute(0, 2, 3, 1).reshape(-1, feature.shape[1]).numpy()
    s = np.linalg.eigvalsh(np.cov(rows.T, bias=True))
    p = s / s.sum()
    return float(-(p * np.log(np.maximum(p, 0) + 1e-8)).sum())


def test_expressivity_and_progressivity_by_the_covariance_of_the_features(textbook, formula_images):
    batch = formula_images(pixels=16)
    entropies = [_entropy(f) for f in _features(textbook(DENSE).train(), batch.images)]
    assert len(entropies) == 6
    score = az_expressivity(textbook(DENSE), batch, **GIVEN)
    assert score == pytest.approx(sum(entropies), rel=1e-9)
    growth = min(after - before for before, after in itertools.pairwise(entropies))
    assert az_progressivity(textbook(DENSE), batch, **GIVEN) == pytest.approx(growth, rel=1e-8)


def test_trainability_by_an_explicit_mean_of_outer_products(textbook, formula_images):
    batch = formula_images(size=4, pixels=8)
    features = _features(textbook(DENSE).train(), batch.images.requires_grad_())
    generator = torch.Generator().manual_seed(0)
    scores = []
    for inner, outer in reversed(list(itertools.pairwise(features))):
        signs = 2.0 * torch.randint(0, 2, outer.shape, generator=generator) - 1
        (back,) = torch.autograd.grad(outer, inner, signs.double(), retain_graph=True)
        if back.shape[-1] != signs.shape[-1]:
            back = nn.PixelUnshuffle(2)(back)
        total = torch.zeros(back.shape[1], signs.shape[1], dtype=torch.float64)
        for b, i, j in itertools.product(*(range(n) for n in (4, *signs.shape[2:]))):
            total += torch.outer(back[b, :, i, j], signs[b, :, i, j].double())
        s = float(torch.linalg.matrix_norm(total / (4 * signs.shape[2] * signs.shape[3]), 2))
        scores.append(2 - s - 1 / (s + 1e-6))
    score = az_trainability(textbook(DENSE), formula_images(size=4, pixels=8), **GIVEN)
    assert score == pytest.approx(np.mean(scores), rel=1e-9)


def test_fresh_weights_do_not_depend_on_those_given(textbook, formula_images):
    batch = formula_images(pixels=8)
    other = textbook(DENSE)
    with torch.no_grad():
        for p in other.parameters():
            p.add_(1.0)
    for proxy in (az_expressivity, az_progressivity, az_trainability):
        assert proxy(textbook(DENSE), batch) == proxy(other, batch)
        assert proxy(other, batch, seed=1) != proxy(other, batch)


def test_blocks_are_the_members_of_lists_or_of_the_longest_chain(textbook):
    network = textbook(DENSE)
    assert blocks(network) == list(network.body)
    chain = nn.Sequential(nn.ReLU(), nn.ReLU())
    assert blocks(chain) == list(chain)
    assert blocks(nn.ReLU()) == []
    named = nn.ModuleDict({"stem": nn.ModuleDict({"1_1": nn.Conv2d(3, 8, 3), "1_2": nn.ReLU()})})
    assert [type(one) for one in blocks(nn.Sequential(*named.values()))] == [nn.Conv2d, nn.ReLU]


def test_a_network_without_blocks_ranks_last():
    batch = Batch(torch.randn(2, 3, 4, 4), torch.zeros(2, dtype=torch.int64))
    for proxy in (az_expressivity, az_progressivity, az_trainability):
        assert proxy(nn.Conv2d(3, 4, 1), batch) == -math.inf


@pytest.mark.skipif(
    importlib.util.find_spec("balenas_space_nb201") is None, reason="needs balenas-space-nb201"
)
def test_blocks_of_an_nb201_network_are_its_cells_and_reductions(textbook, formula_images):
    plugin = default_registry().find("space", "nb201").load()
    space = plugin.load_implementation()(plugin.options(channels=4, cells_per_stage=1))
    network = space.network(space.parse(DENSE), Task((3, 16, 16), 10)).double()
    fill_by_formula(network, space.formula_labels(network))
    batch = formula_images(pixels=16)
    for proxy in (az_expressivity, az_progressivity, az_trainability):
        expected = proxy(textbook(DENSE), batch, **GIVEN)
        assert proxy(network, batch, **GIVEN) == pytest.approx(expected, rel=1e-9)
