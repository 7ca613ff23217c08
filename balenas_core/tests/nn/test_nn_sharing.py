import copy

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional

from balenas_core.nn import (
    BatchNormMode,
    FactorizedReduce,
    MixedEdge,
    NodeSum,
    Pool,
    ReluConvNorm,
    SeparableConvNorm,
    Source,
    edge_weights,
    keeping_layout,
    scaled_norm,
)
from balenas_core.nn._sharing import from_phases, to_phases

NORM = BatchNormMode(affine=False)
NORMS = [NORM, BatchNormMode(), BatchNormMode(uses_running_statistics=False)]


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def operations(stride, norm):
    return {
        "none": None,
        "skip": nn.Identity() if stride == 1 else FactorizedReduce((3, 3), norm=norm),
        "max": Pool("max", stride=stride, norm=(norm, 3)),
        "avg": Pool("avg", stride=stride, norm=(norm, 3)),
        "bare": Pool("avg", stride=stride),
        "conv": ReluConvNorm((3, 3), 3, stride=stride, norm=norm),
        "sep": SeparableConvNorm(3, 5, stride=stride, repeats=2, norm=norm),
        "dil": SeparableConvNorm(3, 3, stride=stride, dilation=2, norm=norm),
    }


def edges(stride, norm, count=3):
    made = []
    for _ in range(count):
        modules = operations(stride, norm)
        made.append(MixedEdge(tuple(modules), {k: m for k, m in modules.items() if m is not None}))
    return nn.ModuleList(made).double()


def one_by_one(mixed, x, row):
    return sum(
        weight * mixed.operations[name](x)
        for weight, name in zip(row, mixed.choices, strict=True)
        if name in mixed.operations
    )


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize(
    "norm", [NORM, BatchNormMode(), BatchNormMode(uses_running_statistics=False)]
)
@pytest.mark.parametrize("size", [(6, 4), (5, 6)])
def test_edges_of_one_source_equal_their_operations_one_by_one(stride, is_training, norm, size):
    shared = edges(stride, norm).train(is_training)
    alone = copy.deepcopy(shared)
    results = []
    for modules in (shared, alone):
        x = randn(4, 3, *size).requires_grad_()
        weights = randn(3, 8, seed=1).softmax(-1).requires_grad_()
        if modules is shared:
            source, sums = Source(x), [NodeSum(), NodeSum()]
            for mixed, row, total in zip(
                shared, edge_weights(weights), (*sums, sums[0]), strict=True
            ):
                mixed.accumulate(source, row, total)
            outputs = [total.result() for total in sums]
        else:
            terms = [one_by_one(m, x, row) for m, row in zip(alone, weights, strict=True)]
            outputs = [terms[0] + terms[2], terms[1]]
        sum((out * randn(*out.shape, seed=2)).sum() for out in outputs).backward()
        results.append(
            [
                *(out.detach() for out in outputs),
                x.grad,
                weights.grad,
                *(p.grad for p in modules.parameters()),
                *modules.buffers(),
            ]
        )
    torch.testing.assert_close(results[0], results[1], rtol=1e-10, atol=1e-10)


def test_phases_are_the_pixels_of_each_2x2_block_and_come_back():
    x = randn(2, 3, 4, 6)
    phases = to_phases(x)
    assert phases.shape == (8, 3, 2, 3)
    for row in (0, 1):
        for column in (0, 1):
            images = phases[2 * (2 * row + column) :][:2]
            torch.testing.assert_close(images, x[:, :, row::2, column::2], rtol=0, atol=0)
    torch.testing.assert_close(from_phases(phases), x, rtol=0, atol=0)


def test_dilated_convolution_is_an_undilated_one_on_phases():
    x, kernel = randn(2, 3, 8, 6), randn(3, 1, 5, 5, seed=1)
    dilated = functional.conv2d(x, kernel, padding=4, dilation=2, groups=3)
    undilated = from_phases(functional.conv2d(to_phases(x), kernel, padding=2, groups=3))
    torch.testing.assert_close(undilated, dilated)


def test_linear_combination_has_exact_first_and_second_derivatives():
    def combine(weights, *bases):
        total = NodeSum()
        for weight, base in zip(weights.unbind(), bases, strict=True):
            total.add_scaled(base, weight, weight.item())
        return total.result()

    inputs = [t.requires_grad_() for t in (randn(2), randn(2, 3, 2, 2), randn(2, 3, 2, 2, seed=1))]
    assert gradcheck(combine, inputs)
    assert gradgradcheck(combine, inputs)


def test_linear_combination_of_other_layouts_and_constants():
    x = randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    y = randn(2, 3, 4, 4, seed=1)
    weights = torch.tensor([0.25, 0.75], dtype=torch.float64, requires_grad=True)
    total = NodeSum()
    for weight, base in zip(weights.unbind(), (x, y), strict=True):
        total.add_scaled(base, weight, weight.item())
    result = total.result()
    torch.testing.assert_close(result, 0.25 * x + 0.75 * y)
    result.sum().backward()
    torch.testing.assert_close(weights.grad, torch.stack([x.sum(), y.sum()]))


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("tracks", [False, True])
@pytest.mark.parametrize("is_training", [False, True])
def test_scaled_norm_is_the_weight_times_the_norm(affine, tracks, is_training):
    mode = BatchNormMode(affine=affine, uses_running_statistics=tracks)
    norm = mode.make(3).double().train(is_training)
    if affine:
        nn.init.normal_(norm.weight, generator=torch.Generator().manual_seed(0))
        nn.init.normal_(norm.bias, generator=torch.Generator().manual_seed(1))
    other = copy.deepcopy(norm)
    x, weight = randn(4, 3, 5, 5), torch.tensor(0.3)
    torch.testing.assert_close(scaled_norm(norm, x, weight), weight * other(x))
    assert norm.state_dict().keys() == other.state_dict().keys()
    torch.testing.assert_close(list(norm.buffers()), list(other.buffers()))


def test_gradient_of_a_sum_has_its_layout_and_exact_derivatives():
    x = randn(2, 3, 4, 5).to(memory_format=torch.channels_last).requires_grad_()
    strides = []
    doubled = 2 * x
    doubled.register_hook(lambda g: strides.append(g.stride()))
    torch.cat([keeping_layout(doubled), x], dim=1).square().sum().backward()
    assert strides == [x.stride()]
    assert gradcheck(lambda x: keeping_layout(2 * x).sin(), (x,))
    assert gradgradcheck(lambda x: keeping_layout(2 * x).sin(), (x,))
    first = randn(2, 3, 4, 5).requires_grad_()
    assert keeping_layout(first) is first


def test_separable_convolution_works_under_autocast():
    operation = SeparableConvNorm(4, 3, repeats=2, norm=NORM)
    x = randn(2, 4, 8, 8).float().requires_grad_()
    weight = torch.tensor(0.5, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total = NodeSum()
        operation.accumulate(Source(x), weight, 0.5, total)
        result = total.result()
        expected = 0.5 * operation(x)
    result.float().square().sum().backward()
    assert result.dtype == torch.bfloat16
    torch.testing.assert_close(result.float(), expected.float(), rtol=0.02, atol=0.02)
    assert x.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in operation.parameters())
