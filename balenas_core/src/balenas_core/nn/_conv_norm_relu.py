"""Convolution, batch normalisation and ReLU with one backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from balenas_core.nn._functions import ConvArguments, autocast
from balenas_core.nn._norm import NormArguments, scaled_arguments


def conv_norm_relu(conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor, weight: Tensor) -> Tensor:
    """Return ``relu(weight * norm(conv(x)))``, which may be written to.

    The backward pass keeps ``x`` and, unless it is large and cheap, the result of the
    convolution; it computes the rest again. torch's layers keep both, and the result or the
    mask of the ReLU.

    Args:
        conv: Convolution without bias.
        norm: Batch normalisation of its result.
        x: `batch x channels x height x width`-dim features.
        weight: Scalar tensor.
    """
    x, kernel = autocast(x, conv.weight)
    by = scaled_arguments(norm, x, weight)
    if by.is_synced:  # the processes meet in the middle of it
        return torch.relu(by.apply(ConvArguments.of(conv).apply(x, kernel)))
    result: Tensor = _ConvNormRelu.apply(x, kernel, by.scale, by.shift, ConvArguments.of(conv), by)
    return result


class _ConvNormRelu(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        kernel: Tensor,
        scale: Tensor,
        shift: Tensor | None,
        conv: ConvArguments,
        by: NormArguments,
    ) -> Tensor:
        convolved = conv.apply(x, kernel)
        result, mean, spread = torch.native_batch_norm(
            convolved, scale, shift, by.mean, by.variance, by.is_training, by.momentum, by.eps
        )
        if not by.is_training:
            assert by.mean is not None
            assert by.variance is not None
            mean, spread = by.mean, by.variance
        # `spread` is the inverse deviation of the batch, or the running variance.
        kept = None if _is_cheap(kernel) else convolved
        ctx.save_for_backward(x, kernel, scale, shift, mean, spread, kept)
        ctx.conv, ctx.by = conv, by
        return result.relu_()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        conv, by, needed = ctx.conv, ctx.by, ctx.needs_input_grad[:4]
        x, kernel, scale, shift, mean, spread, convolved = ctx.saved_tensors
        if torch.is_grad_enabled():
            inputs = (x, kernel, scale, shift)
            return *_differentiable_gradients(gradient, inputs, conv, by, needed), None, None
        if convolved is None:
            convolved = conv.apply(x, kernel)
        # The same arithmetic as in the forward pass, so that the signs are the same too.
        factor = scale * (spread if by.is_training else (spread + by.eps).rsqrt())
        offset = -mean * factor if shift is None else shift - mean * factor
        zero, one = torch.zeros_like(mean), torch.ones_like(mean)
        normalized = functional.batch_norm(convolved, zero, one, factor, offset, eps=0.0)
        by_normalized = torch.ops.aten.threshold_backward.grad_input(
            gradient, normalized, 0, grad_input=normalized
        )
        by_convolved, by_scale, by_shift = torch.ops.aten.native_batch_norm_backward(
            by_normalized,
            convolved,
            scale,
            None if by.is_training else mean,
            None if by.is_training else spread,
            mean,
            spread,
            by.is_training,
            by.eps,
            (any(needed[:2]), *needed[2:]),
        )
        by_first = (
            (None, None)
            if by_convolved is None
            else conv.gradients(by_convolved, x, kernel, needed[:2])
        )
        return *by_first, by_scale, by_shift, None, None


def _is_cheap(kernel: Tensor) -> bool:
    """Whether a convolution is 1x1, and its result no smaller than its input."""
    channels_out, channels_in, *size = kernel.shape
    return size == [1, 1] and channels_out >= channels_in


def _differentiable_gradients(
    gradient: Tensor,
    inputs: tuple[Tensor, Tensor, Tensor, Tensor | None],
    conv: ConvArguments,
    by: NormArguments,
    needed: tuple[bool, ...],
) -> list[Tensor | None]:
    """Return the gradients of the inputs as functions of them and of ``gradient``."""
    x, kernel, scale, shift = inputs
    mean, variance = (None, None) if by.is_training else (by.mean, by.variance)
    out = torch.relu(
        functional.batch_norm(
            conv.apply(x, kernel), mean, variance, scale, shift, by.is_training, eps=by.eps
        )
    )
    wanted = [i for i, needs in zip(inputs, needed, strict=True) if needs and i is not None]
    found = iter(torch.autograd.grad(out, wanted, gradient, create_graph=True))
    return [next(found) if needs else None for needs in needed]
