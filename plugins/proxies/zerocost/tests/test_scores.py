"""Each score against a second implementation, written plainly, on formula-filled networks."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from balenas_core.interfaces.proxy import Batch
from balenas_proxy_zerocost import (
    epe_nas,
    feature_correlation,
    fisher,
    flops,
    grad_norm,
    grasp,
    jacov,
    l2_norm,
    logsynflow,
    meco,
    ntk,
    params,
    plain,
    snip,
    swap,
    zen,
    zico,
)


def _cell(*operations):
    names = iter(operations)
    return "+".join(
        "|" + "|".join(f"{next(names)}~{source}" for source in range(node)) + "|"
        for node in (1, 2, 3)
    )


SKIP, NONE, POOL = "skip_connect", "none", "avg_pool_3x3"
ONE, THREE = "nor_conv_1x1", "nor_conv_3x3"
DENSE = _cell(THREE, ONE, THREE, SKIP, POOL, THREE)
SPARSE = _cell(THREE, NONE, SKIP, NONE, NONE, ONE)
ALL_NONE = _cell(*[NONE] * 6)
ALL_SKIP = _cell(*[SKIP] * 6)
DEAD_BRANCH = _cell(THREE, NONE, NONE, SKIP, NONE, NONE)
TEXTS = [DENSE, SPARSE, ALL_SKIP, DEAD_BRANCH]


def _layers(network):
    return [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def _loss_gradients(network, batch):
    network.train()
    loss = F.cross_entropy(network(batch.images), batch.labels)
    weights = [m.weight for m in _layers(network)]
    gradients = torch.autograd.grad(loss, weights, allow_unused=True)
    return [
        (w.detach().numpy(), np.zeros(w.shape) if g is None else g.numpy())
        for w, g in zip(weights, gradients, strict=True)
    ]


def _jacobian(network, batch):
    """Row by row, each image's gradient of the sum of all logits."""
    network.train()
    images = batch.images.clone().requires_grad_()
    total = network(images).sum()
    return torch.autograd.grad(total, images)[0].flatten(1).numpy()


@pytest.mark.parametrize("text", TEXTS)
def test_snip_plain_and_grad_norm(textbook, formula_images, text):
    batch = formula_images()
    pairs = _loss_gradients(textbook(text), batch)
    network = textbook(text)
    assert snip(network, batch) == pytest.approx(sum(np.abs(w * g).sum() for w, g in pairs), 1e-10)
    assert plain(network, batch) == pytest.approx(sum((w * g).sum() for w, g in pairs), 1e-8)
    expected = sum(math.sqrt((g**2).sum()) for _, g in pairs)
    assert grad_norm(network, batch) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("text", TEXTS)
def test_grasp_by_the_directional_derivative_of_the_gradient(textbook, formula_images, text):
    # theta^T H g = d/de of g(theta + e*theta)^T g, by central differences.
    batch = formula_images()
    network = textbook(text)
    base = _loss_gradients(network, batch)
    step, moved = 1e-5, []
    for sign in (1, -1):
        other = textbook(text)
        with torch.no_grad():
            for layer in _layers(other):
                layer.weight.mul_(1 + sign * step)
        pairs = _loss_gradients(other, batch)
        moved.append(sum((g * g0).sum() for (_, g), (_, g0) in zip(pairs, base, strict=True)))
    derivative = (moved[0] - moved[1]) / (2 * step)
    assert grasp(network, batch) == pytest.approx(-derivative, rel=1e-5)
    assert grasp(network, batch, temperature=200) != grasp(network, batch)


@pytest.mark.parametrize("text", [*TEXTS, ALL_NONE])
def test_fisher_by_per_channel_gates(textbook, formula_images, text):
    # A gate of one per image and channel has the gradient sum over space of a * dL/da.
    batch, network = formula_images(), textbook(text).train()
    gates = {}

    def gate(layer, _inputs, output):
        shape = output.shape[:2] + (1,) * (output.dim() - 2)
        gates[layer] = torch.ones(shape, dtype=output.dtype, requires_grad=True)
        return output * gates[layer]

    for layer in _layers(network):
        layer.register_forward_hook(gate)
    loss = F.cross_entropy(network(batch.images), batch.labels)
    layers = list(gates)
    gradients = torch.autograd.grad(loss, [gates[x] for x in layers], allow_unused=True)
    expected = sum(
        float(0.5 * g.flatten(1).square().mean(0).sum() * math.prod(layer.weight.shape[1:]))
        for layer, g in zip(layers, gradients, strict=True)
        if g is not None
    )
    assert expected > 0
    assert fisher(textbook(text), batch) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("text", TEXTS)
def test_zico_over_two_batches(textbook, formula_images, text):
    batches = [formula_images(index=0), formula_images(index=1)]
    first, second = ([g for _, g in _loss_gradients(textbook(text), b)] for b in batches)
    expected = 0.0
    for a, b in zip(first, second, strict=True):
        pair = np.stack([a.ravel(), b.ravel()])
        spread = pair.std(0)
        kept = spread != 0
        if kept.any():
            expected += math.log((np.abs(pair).mean(0)[kept] / spread[kept]).sum())
    assert zico(textbook(text), batches) == pytest.approx(expected, rel=1e-9)


def test_zico_needs_two_batches(textbook, formula_images):
    with pytest.raises(ValueError, match="at least two batches; got 1"):
        zico(textbook(DENSE), [formula_images()])


@pytest.mark.parametrize("text", TEXTS)
def test_jacov_by_the_eigenvalues_of_numpys_correlation(textbook, formula_images, text):
    batch = formula_images()
    v = np.linalg.eigvals(np.corrcoef(_jacobian(textbook(text), batch))).real
    expected = -np.sum(np.log(v + 1e-5) + 1 / (v + 1e-5))
    assert jacov(textbook(text), batch) == pytest.approx(expected, rel=1e-7)


def test_jacov_of_uncorrelated_responses_is_minus_the_batch_size():
    class Separate(nn.Module):
        def forward(self, x):
            signs = torch.tensor([[1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]])
            return (x.flatten(1) * signs).sum(1, keepdim=True)

    batch = Batch(torch.zeros(3, 1, 2, 2), torch.zeros(3, dtype=torch.int64))
    expected = -3 * (math.log(1 + 1e-5) + 1 / (1 + 1e-5))
    assert jacov(Separate(), batch) == pytest.approx(expected, rel=1e-12)


class _Blocks(nn.Module):
    """Blocks that run in another order than they are listed, and a head."""

    def __init__(self):
        super().__init__()
        self.late = nn.ModuleList([nn.Conv2d(4, 5, 3), nn.ReLU(inplace=True)])
        self.early = nn.ModuleList([nn.Conv2d(3, 4, 3)])
        self.head = nn.Linear(5, 2)

    def features(self, x):
        return self.late[1](self.late[0](self.early[0](x)))

    def forward(self, x):
        return self.head(self.features(x).mul_(2).add_(x.mean()).mean((2, 3)))


def test_feature_correlation_by_the_eigenvalues_of_the_last_blocks_output(formula_images):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = _Blocks().double()
    batch = formula_images()
    rows = network.features(batch.images).detach().flatten(1).numpy()
    v = np.linalg.eigvals(np.corrcoef(rows)).real
    expected = -np.sum(np.log(v + 1e-5) + 1 / (v + 1e-5))
    assert feature_correlation(network, batch) == pytest.approx(expected, rel=1e-7)


def test_feature_correlation_needs_blocks(formula_images):
    network = nn.Sequential(nn.Flatten(), nn.LazyLinear(2)).double()
    network(formula_images().images)
    assert feature_correlation(network, formula_images()) == -math.inf


@pytest.mark.parametrize("text", TEXTS)
def test_epe_nas_class_by_class(textbook, formula_images, text):
    batch = formula_images(size=8)
    batch = Batch(batch.images, batch.labels % 3)
    rows = _jacobian(textbook(text), batch)
    expected = 0.0
    for label in range(3):
        c = np.corrcoef(rows[batch.labels.numpy() == label])
        expected += abs(np.log(np.abs(c) + 1e-5).sum())
    assert epe_nas(textbook(text), batch) == pytest.approx(expected, rel=1e-8)


def test_epe_nas_compares_classes_when_there_are_more_than_a_hundred(textbook, formula_images):
    batch = formula_images(size=8)
    batch = Batch(batch.images, batch.labels % 3)
    rows = _jacobian(textbook(DENSE, classes=101), batch)
    scores = []
    for label in range(3):
        c = np.corrcoef(rows[batch.labels.numpy() == label])
        scores.append(np.log(np.abs(c) + 1e-5).sum() / len(c))
    expected = sum(abs(a - b) for a in scores for b in scores) / 3
    assert epe_nas(textbook(DENSE, classes=101), batch) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("text", TEXTS)
def test_logsynflow_of_a_network_of_absolute_weights(textbook, formula_images, text):
    network = textbook(text).eval()
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, nn.Identity())
    with torch.no_grad():
        for p in network.parameters():
            p.abs_()
    network(torch.ones(1, 3, 32, 32, dtype=torch.float64)).sum().backward()
    expected = sum(
        float((m.weight.detach() * (1 + m.weight.grad).log()).sum())
        for m in _layers(network)
        if m.weight.grad is not None
    )
    assert logsynflow(textbook(text), formula_images()) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("text", [*TEXTS, ALL_NONE])
@pytest.mark.parametrize("size", [3, 8])
def test_swap_by_a_set_of_patterns(textbook, formula_images, text, size):
    batch, network = formula_images(size=size, pixels=16), textbook(text).train()
    patterns = set()
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(
                lambda _m, _i, out: patterns.update(map(tuple, (out > 0).flatten(1).T.tolist()))
            )
    network(batch.images)
    assert swap(textbook(text), batch) == len(patterns)


def test_swap_of_more_images_than_bits_of_a_number(textbook, formula_images):
    batch, network = formula_images(size=70, pixels=8), textbook(SPARSE).train()
    rows = []
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(
                lambda _m, _i, out: rows.append((out > 0).flatten(1).T.numpy())
            )
    network(batch.images)
    expected = len(np.unique(np.concatenate(rows), axis=0))
    assert swap(textbook(SPARSE), batch, images=None) == expected
    assert swap(textbook(SPARSE), batch) < expected


def test_regularised_swap_multiplies_by_a_gaussian_of_the_number_of_parameters(
    textbook, formula_images
):
    network, batch = textbook(DENSE), formula_images()
    count = sum(p.numel() for p in network.parameters()) / 1000
    factor = math.exp(-((count - 5) ** 2) / 40)
    score = swap(network, batch, mu=5, sigma=40, unit=1000)
    assert score == pytest.approx(factor * swap(network, batch), rel=1e-12)


@pytest.mark.parametrize("text", [*TEXTS, ALL_NONE])
def test_meco_by_numpys_correlation_of_every_modules_output(textbook, formula_images, text):
    batch, network, expected = formula_images(), textbook(text).train(), []

    def look(_module, _inputs, output):
        rows = output[0].detach().reshape(len(output[0]), -1)
        if rows.shape[1] == 1:
            return  # one number a channel: no correlation, counted as 0
        c = torch.nan_to_num(torch.corrcoef(rows), 0, 0, 0).numpy()
        expected.append(np.linalg.eigvals(c).real.min())

    for module in network.modules():
        module.register_forward_hook(look)
    network(batch.images[:1])
    score = meco(textbook(text), batch, image="batch")
    assert score == pytest.approx(sum(expected), rel=1e-8, abs=1e-10)


@pytest.mark.parametrize("text", [DENSE, SPARSE])
def test_ntk_by_one_gradient_at_a_time(textbook, formula_images, text):
    batch, network = formula_images(size=5), textbook(text).train()
    rows = []
    for i in range(5):
        network.zero_grad()
        network(batch.images)[i].sum().backward()
        rows.append(
            np.concatenate(
                [
                    p.grad.numpy().ravel() if p.grad is not None else np.zeros(p.numel())
                    for name, p in network.named_parameters()
                    if "weight" in name
                ]
            )
        )
    eigenvalues = np.linalg.eigvalsh(np.array(rows) @ np.array(rows).T)
    expected = -eigenvalues[-1] / eigenvalues[0]
    assert ntk(textbook(text), batch) == pytest.approx(expected, rel=1e-6)


def test_zen_of_given_weights_and_images_by_hand(textbook, formula_images):
    batch, network = formula_images(pixels=16), textbook(DENSE).train()
    noise = torch.randn(
        batch.images.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64
    )
    outputs = []
    network.last.register_forward_hook(lambda _m, _i, out: outputs.append(out.detach()))
    network(batch.images)
    network(batch.images + 0.01 * noise)
    expected = math.log(float((outputs[0] - outputs[1]).abs().sum((1, 2, 3)).mean()))
    expected += sum(
        0.5 * math.log(float(m.running_var.mean()))
        for m in network.modules()
        if isinstance(m, nn.BatchNorm2d)
    )
    score = zen(textbook(DENSE), batch, weights="given", images="batch", seed=4)
    assert score == pytest.approx(expected, rel=1e-10)


def test_l2_norm_sums_the_norms_of_the_layers(textbook):
    network = textbook(DENSE)
    expected = sum(float(np.linalg.norm(m.weight.detach().numpy())) for m in _layers(network))
    assert l2_norm(network) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("operation", "parameters", "megaflops"),
    [
        ("nor_conv_3x3", 1_531_546, 220.11969),
        ("nor_conv_1x1", 241_306, 31.37601),
        ("skip_connect", 73_306, 7.78305),
        ("none", 73_306, 7.78305),
    ],
)
def test_size_is_what_the_benchmark_publishes(
    textbook, formula_images, operation, parameters, megaflops
):
    text = _cell(*[operation] * 6)
    network = textbook(text, torch.float32, channels=16, cells=5)
    assert params(network, formula_images()) == parameters
    assert flops(network, formula_images()) / 1e6 == pytest.approx(megaflops, rel=4e-6)


def test_alive_parameters_leave_out_what_is_on_no_path(textbook, formula_images):
    batch = formula_images()
    everything = [params(textbook(t), batch) for t in (DENSE, DEAD_BRANCH, ALL_SKIP, ALL_NONE)]
    alive = [
        params(textbook(t), batch, alive=True) for t in (DENSE, DEAD_BRANCH, ALL_SKIP, ALL_NONE)
    ]
    assert alive[0] == everything[0]
    assert everything[1] > everything[2] == alive[1] == alive[2]
    assert alive[3] == 0 < everything[3]


def test_an_edge_into_a_dead_node_is_dead_too(textbook, formula_images):
    # Node 1 is computed, node 2 reads it, and nothing reads node 2.
    chain = _cell(THREE, NONE, ONE, SKIP, NONE, NONE)
    # Nothing reaches node 1, from which node 3 reads.
    source = _cell(NONE, NONE, NONE, SKIP, THREE, NONE)
    expected = params(textbook(ALL_SKIP), formula_images())
    for text in (chain, source):
        assert params(textbook(text), formula_images(), alive=True) == expected
