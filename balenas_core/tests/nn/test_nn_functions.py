"""Functions with backward passes of their own equal compositions of torch's."""

import copy

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional

from balenas_core.nn import BatchNormMode, conv_norm_relu, inner_product
from balenas_core.nn._functions import ConvArguments, Scaled, add_scaled, max_pool, separable

LAST = torch.channels_last


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def saved_by(function):
    """Return a function's result, and the tensors that autograd keeps for it."""
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        return function(), saved


def layers(kernel, mode, *, channels=3, is_training):
    conv = nn.Conv2d(3, channels, kernel, padding=kernel // 2, bias=False).double()
    norm = mode.make(channels).double().train(is_training)
    nn.init.normal_(conv.weight, generator=torch.Generator().manual_seed(0))
    for number, parameter in enumerate(norm.parameters()):
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(number))
    if norm.running_mean is not None:
        norm.running_mean.copy_(randn(channels))
    return conv, norm


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize(
    "mode",
    [BatchNormMode(), BatchNormMode(affine=False), BatchNormMode(uses_running_statistics=False)],
)
def test_convolution_norm_and_relu_are_the_three_layers(kernel, is_training, mode):
    ours = layers(kernel, mode, is_training=is_training)
    theirs = copy.deepcopy(ours)
    results = []
    for conv, norm in (ours, theirs):
        x, weight = randn(4, 3, 6, 5).requires_grad_(), torch.tensor(0.3, requires_grad=True)
        out = (
            conv_norm_relu(conv, norm, x, weight)
            if conv is ours[0]
            else torch.relu(weight * norm(conv(x)))
        )
        (out * randn(*out.shape, seed=1)).sum().backward()
        parameters = [*conv.parameters(), *norm.parameters()]
        grads = [x.grad, weight.grad.double(), *(p.grad for p in parameters)]
        results.append([out.detach(), *grads, *norm.buffers()])
    torch.testing.assert_close(*results, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("is_training", [True, False])
def test_convolution_norm_and_relu_have_exact_derivatives(kernel, is_training):
    conv, norm = layers(kernel, BatchNormMode(), is_training=is_training)
    x, weight = randn(2, 3, 3, 2).requires_grad_(), torch.tensor(0.7, dtype=torch.float64)
    weight.requires_grad_()

    def function(x, weight):
        return conv_norm_relu(conv, norm, x, weight)

    assert gradcheck(function, (x, weight))
    assert gradgradcheck(function, (x, weight))


@pytest.mark.parametrize(("kernel", "channels", "kept"), [(1, 3, 0), (1, 2, 1), (3, 3, 1)])
def test_convolution_norm_and_relu_keep_the_input_and_what_is_dear(kernel, channels, kept):
    conv, norm = layers(kernel, BatchNormMode(), channels=channels, is_training=True)
    x = randn(4, 3, 8, 8).requires_grad_()
    out, saved = saved_by(lambda: conv_norm_relu(conv, norm, x, torch.tensor(0.5)))
    features = [t for t in saved if t.dim() == 4 and t.shape[2:] == (8, 8)]
    assert len(features) == 1 + kept
    assert any(t.data_ptr() == x.data_ptr() for t in features)
    out.add_(1).sum().backward()
    assert x.grad is not None


@pytest.mark.parametrize("stride", [1, 2])
def test_separable_convolution_keeps_nothing_between_and_has_exact_derivatives(stride):
    depthwise = ConvArguments((stride, stride), (1, 1), groups=3)
    x, *kernels = (
        t.requires_grad_() for t in (randn(2, 3, 4, 5), randn(3, 1, 3, 3), randn(2, 3, 1, 1))
    )

    def function(x, first, second):
        return separable(x, (first, second), depthwise)

    assert gradcheck(function, (x, *kernels))
    assert gradgradcheck(function, (x, *kernels))
    out, saved = saved_by(lambda: function(x, *kernels))
    torch.testing.assert_close(
        out, functional.conv2d(depthwise.apply(x, kernels[0]), kernels[1]), rtol=0, atol=0
    )
    assert {t.data_ptr() for t in saved} == {t.data_ptr() for t in (x, *kernels)}


@pytest.mark.parametrize("size", [(9, 10), (200, 190)])
@pytest.mark.parametrize("stride", [1, 2])
def test_max_pooling_with_compact_indices_gives_torchs_gradient(size, stride):
    x = randn(2, 3, *size).relu().requires_grad_()  # many ties
    pooled, expected = max_pool(x, stride), functional.max_pool2d(x, 3, stride, padding=1)
    torch.testing.assert_close(pooled, expected, rtol=0, atol=0)
    gradients = [torch.autograd.grad(p.square().sum(), x)[0] for p in (pooled, expected)]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=0)


def test_max_pooling_has_exact_second_derivatives():
    x = randn(1, 2, 5, 4).requires_grad_()
    assert gradgradcheck(lambda x: max_pool(x, 2).square(), (x,))


@pytest.mark.parametrize("has_total", [True, False])
def test_scaled_terms_have_exact_derivatives(has_total):
    def function(weights, total, *bases):
        terms = [Scaled(b, w, w.item()) for b, w in zip(bases, weights.unbind(), strict=True)]
        return add_scaled(2 * total if has_total else None, terms)

    inputs = (randn(2), randn(2, 3, 2, 2), randn(2, 3, 2, 2, seed=1), randn(2, 3, 2, 2, seed=2))
    inputs = tuple(t.requires_grad_() for t in inputs)
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


def test_inner_product_takes_any_layout_and_type():
    x, y = randn(2, 3, 4, 5), randn(2, 3, 4, 5, seed=1)
    expected = (x * y).sum()
    for a, b in (
        (x, y),
        (x.to(memory_format=LAST), y.to(memory_format=LAST)),
        (x[:, :2], y[:, :2]),
    ):
        with torch.no_grad():
            torch.testing.assert_close(inner_product(a, b), (a * b).sum())
    torch.testing.assert_close(
        inner_product(x.bfloat16(), y.bfloat16()).double(), expected, rtol=0.1, atol=0.1
    )
