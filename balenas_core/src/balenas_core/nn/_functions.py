"""Differentiable functions with backward passes of their own, which keep less or move less.

All of them have exact derivatives of any order. While a compiler traces, or inside a transform
of ``torch.func``, they are compositions of torch's own functions instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional


def runs_plain() -> bool:
    """Whether a compiler or a transform of ``torch.func`` is at work.

    Both see more in torch's own functions: one fuses them, the other has rules for them.
    """
    return torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()


@dataclass(frozen=True, slots=True)
class ConvArguments:
    """What a convolution takes beside features and kernel."""

    stride: tuple[int, ...] = (1, 1)
    padding: tuple[int, ...] = (0, 0)
    dilation: tuple[int, ...] = (1, 1)
    groups: int = 1

    @classmethod
    def of(cls, conv: nn.Conv2d) -> Self:
        """Return those of a layer."""
        assert not isinstance(conv.padding, str)
        return cls(conv.stride, conv.padding, conv.dilation, conv.groups)

    def apply(self, x: Tensor, kernel: Tensor) -> Tensor:
        """Return the convolution."""
        return functional.conv2d(
            x, kernel, None, self.stride, self.padding, self.dilation, self.groups
        )

    def gradients(
        self, gradient: Tensor, x: Tensor, kernel: Tensor, needed: Sequence[bool]
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradients of features and kernel, each where ``needed`` says so."""
        by_x, by_kernel, _ = torch.ops.aten.convolution_backward(
            gradient,
            x,
            kernel,
            None,
            self.stride,
            self.padding,
            self.dilation,
            False,
            (0, 0),
            self.groups,
            (*needed, False),
        )
        return by_x, by_kernel


def autocast(x: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    """Return the arguments of a convolution in the type of the autocast region, if in one.

    A backward pass runs outside of it, so that what it computes again needs them like that.
    """
    kind = x.device.type
    # Nothing is computed on meta, and torch refuses to be asked.
    if kind == "meta" or not torch.is_autocast_enabled(kind):
        return x, *others
    dtype = torch.get_autocast_dtype(kind)
    return tuple(tensor.to(dtype) for tensor in (x, *others))


def separable(x: Tensor, kernels: tuple[Tensor, Tensor], depthwise: ConvArguments) -> Tensor:
    """Return a depthwise and a 1x1 convolution of ``x``, keeping nothing between them.

    The depthwise one is a twentieth of a step's work and its result a third of the memory.

    Args:
        x: `batch x channels x height x width`-dim features.
        kernels: Depthwise kernel, and that of the 1x1 convolution.
        depthwise: How the first is applied.
    """
    if runs_plain():
        return functional.conv2d(depthwise.apply(x, kernels[0]), kernels[1])
    result: Tensor = _Separable.apply(*autocast(x, *kernels), depthwise)
    return result


class _Separable(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, kernel: Tensor, pointwise: Tensor, depthwise: ConvArguments
    ) -> Tensor:
        ctx.save_for_backward(x, kernel, pointwise)
        ctx.depthwise = depthwise
        return functional.conv2d(depthwise.apply(x, kernel), pointwise)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, kernel, pointwise = ctx.saved_tensors
        needs_first = ctx.needs_input_grad[:2]
        by_between, by_pointwise = ConvArguments().gradients(
            gradients[0],
            ctx.depthwise.apply(x, kernel),
            pointwise,
            (any(needs_first), ctx.needs_input_grad[2]),
        )
        by_first = (
            (None, None)
            if by_between is None
            else ctx.depthwise.gradients(by_between, x, kernel, needs_first)
        )
        return *by_first, by_pointwise, None


def max_pool(x: Tensor, stride: int) -> Tensor:
    """Return a 3x3 max pooling, keeping its indices in two or four bytes, not eight."""
    if runs_plain():
        return functional.max_pool2d(x, 3, stride, padding=1)
    result: Tensor = _MaxPool.apply(x, stride)
    return result


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, stride: int) -> Tensor:
        pooled, indices = max_pool_with_indices(x, stride)
        ctx.save_for_backward(x, indices)
        ctx.stride = stride
        return pooled

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, indices = ctx.saved_tensors
        return max_pool_gradient(gradients[0], x, indices, ctx.stride), None


def max_pool_with_indices(x: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Return a 3x3 max pooling, and compact indices for ``max_pool_gradient``."""
    pooled, indices = functional.max_pool2d_with_indices(x, (3, 3), (stride, stride), (1, 1))
    pixels = x.shape[2] * x.shape[3]
    small = torch.int16 if pixels <= torch.iinfo(torch.int16).max else torch.int32
    return pooled, indices.to(small)


def max_pool_gradient(gradient: Tensor, x: Tensor, indices: Tensor, stride: int) -> Tensor:
    """Return the gradient of the features that were pooled."""
    by_x: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
        gradient, x, (3, 3), (stride, stride), (1, 1), (1, 1), False, indices.to(torch.int64)
    )
    return by_x


@dataclass(frozen=True, slots=True)
class Scaled:
    """A term ``weight * base`` of a sum; ``value`` is the number in ``weight``."""

    base: Tensor
    weight: Tensor
    value: float


def add_scaled(total: Tensor | None, terms: Sequence[Scaled]) -> Tensor:
    """Return ``total`` plus the terms, in one pass a term; ``total`` is written to.

    Args:
        total: A tensor that nothing else uses, not a leaf; None for the empty sum.
        terms: At least one.
    """
    if runs_plain():
        for term in terms:
            scaled = term.weight * term.base
            total = scaled if total is None else total + scaled
        assert total is not None, "there is a term"
        return total
    values = tuple(term.value for term in terms)
    weights = torch.stack([term.weight for term in terms])
    result: Tensor = _AddScaled.apply(total, weights, values, *(term.base for term in terms))
    return result


class _AddScaled(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        total: Tensor | None,
        weights: Tensor,
        values: tuple[float, ...],
        *bases: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(weights, *bases)
        ctx.values = values
        if total is not None:
            ctx.mark_dirty(total)
        for base, value in zip(bases, values, strict=True):
            total = base * value if total is None else total.add_(base, alpha=value)
        assert total is not None, "there is a term"
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weights, *bases = ctx.saved_tensors
        (gradient,) = gradients
        needs_total, needs_weights, _, *needs_bases = ctx.needs_input_grad
        # With create_graph the result must depend on the weights as tensors.
        factors = weights.to(gradient.device) if torch.is_grad_enabled() else ctx.values
        by_base = [
            factor * gradient if needed else None
            for factor, needed in zip(factors, needs_bases, strict=True)
        ]
        by_weights = None
        if needs_weights:
            products = [inner_product(gradient, base) for base in bases]
            by_weights = torch.stack(products).to(weights.device, weights.dtype)
        return gradient if needs_total else None, by_weights, None, *by_base


def inner_product(a: Tensor, b: Tensor) -> Tensor:
    """Return the sum of ``a * b``, without that product in memory where possible."""
    is_flat = a.stride() == b.stride() and (
        a.is_contiguous() or a.is_contiguous(memory_format=torch.channels_last)
    )
    # With create_graph the views below would make the graph larger than the product.
    if torch.is_grad_enabled() or not is_flat or a.dtype != b.dtype or a.dtype.itemsize < 4:
        return (a * b).sum()
    return torch.dot(a.as_strided((a.numel(),), (1,)), b.as_strided((b.numel(),), (1,)))


def keeping_layout(x: Tensor) -> Tensor:
    """Return ``x``, whose gradient will have its layout in memory if that is channels last.

    The gradient of a concatenation is a slice, and that of a mean is expanded; the backward
    pass of a batch normalisation takes ten times as long for them.
    """
    if runs_plain() or not x.requires_grad:
        return x
    is_last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    result: Tensor = _ChannelsLastGradient.apply(x) if is_last else x
    return result


class _ChannelsLastGradient(torch.autograd.Function):
    """Identity with a backward pass that copies into channels last where needed."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].contiguous(memory_format=torch.channels_last)
