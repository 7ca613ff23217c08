"""What the operations that leave or enter one node of a supernet have in common.

A supernet applies many operations to the same features and sums many results at the same
node. ``Source`` computes once what depends on the features alone; ``NodeSum`` adds results in
place. Nothing here changes a result beyond round-off.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional

from balenas_core.nn._partial import Partition


class Source:
    """Features of a node, with results that several operations on them share.

    Args:
        features: `batch x channels x height x width`-dim tensor.
    """

    def __init__(self, features: Tensor) -> None:
        self.features = features
        self._shared: dict[Hashable, Tensor] = {}
        self._seen: dict[Partition, Source] = {}

    def shared(self, key: Hashable, compute: Callable[[], Tensor]) -> Tensor:
        """Return what ``compute()`` returned at the first call with this key."""
        if key not in self._shared:
            self._shared[key] = compute()
        return self._shared[key]

    def seen(self, partition: Partition) -> Source:
        """Return the channels that a partition shows to operations, as a source."""
        if partition not in self._seen:
            self._seen[partition] = Source(partition.seen(self.features))
        return self._seen[partition]

    def passed(self, partition: Partition) -> Tensor:
        """Return the channels that pass by the operations."""
        return self.shared(partition, lambda: partition.passed(self.features))

    def relu(self) -> Tensor:
        """Return relu(features)."""
        return self.shared("relu", lambda: torch.relu(self.features))


class NodeSum:
    """Sum of the operations that enter one node."""

    def __init__(self) -> None:
        self._total: Tensor | None = None
        self._phases: Tensor | None = None
        self._scaled: list[tuple[Tensor, Tensor, float]] = []
        self._partial: tuple[Partition, NodeSum, NodeSum] | None = None

    def add(self, term: Tensor) -> None:
        """Add a term that nobody else uses; it may be written to."""
        self._total = term if self._total is None else self._total.add_(term)

    def add_phases(self, term: Tensor) -> None:
        """Add a term in the form of ``to_phases``, as ``add``."""
        self._phases = term if self._phases is None else self._phases.add_(term)

    def add_scaled(self, base: Tensor, weight: Tensor, value: float) -> None:
        """Add ``weight * base``; ``value`` is the number in ``weight``."""
        self._scaled.append((base, weight, value))

    def partial(self, partition: Partition) -> tuple[NodeSum, NodeSum]:
        """Return the sums of the channels that operations see and of those that pass by.

        A node has one number of parts; ``partition`` may differ in its stride alone.
        """
        if self._partial is None:
            self._partial = partition, NodeSum(), NodeSum()
        _, seen, passed = self._partial
        return seen, passed

    def result(self) -> Tensor | None:
        """Return the sum, or None if nothing was added."""
        if self._partial is not None:
            partition, *sums = self._partial
            seen, passed = (part.result() for part in sums)
            if seen is not None and passed is not None:
                self.add(partition.join(seen, passed))
        if self._phases is not None:
            self.add(from_phases(self._phases))
        if self._scaled:
            bases, weights, values = zip(*self._scaled, strict=True)
            self.add(_LinearCombination.apply(torch.stack(weights), values, *bases))
        return None if self._total is None else keeping_layout(self._total)


class SharingOperation(nn.Module, ABC):
    """A candidate operation that shares work with others on the same features."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Return the operation's result."""

    @abstractmethod
    def accumulate(self, source: Source, weight: Tensor, value: float, total: NodeSum) -> None:
        """Add ``weight * forward(source.features)`` to ``total``.

        Args:
            source: Features, and what other operations have computed of them.
            weight: Scalar tensor.
            value: The number in ``weight``; not zero.
            total: The sum at the node that the operation leads to.
        """


def scaled_norm(norm: nn.Module, x: Tensor, weight: Tensor) -> Tensor:
    """Return ``weight * norm(x)`` of a batch normalisation, with the weight in its scale.

    weight * (gamma * x_hat + beta) = (weight * gamma) * x_hat + weight * beta.
    """
    assert isinstance(norm, nn.BatchNorm2d)
    # Half-precision features are normalised with single-precision parameters.
    dtype = torch.float32 if x.dtype in (torch.float16, torch.bfloat16) else x.dtype
    weight = weight.to(x.device, dtype)
    gamma, beta = norm.weight, norm.bias
    scale = weight.repeat(norm.num_features) if gamma is None else weight * gamma
    shift = None if beta is None else weight * beta
    uses_buffers = not norm.training or norm.track_running_stats
    if norm.training and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    return functional.batch_norm(
        x,
        norm.running_mean if uses_buffers else None,
        norm.running_var if uses_buffers else None,
        scale,
        shift,
        training=norm.training or norm.running_mean is None,
        momentum=norm.momentum or 0.0,
        eps=norm.eps,
    )


def relu_in_place(x: Tensor) -> Tensor:
    """Return relu(x), written into ``x``; the backward pass keeps one byte a number.

    ``torch.relu_`` keeps its result, which then cannot be added to.

    Args:
        x: A tensor that nothing else uses, not a leaf.
    """
    result: Tensor = _InPlaceRelu.apply(x)
    return result


def keeping_layout(x: Tensor) -> Tensor:
    """Return ``x``, whose gradient will have its layout in memory if that is channels last.

    The gradient of a concatenation is a slice, and that of a mean is expanded; the backward
    pass of a batch normalisation takes ten times as long for them.
    """
    is_last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    result: Tensor = _ChannelsLastGradient.apply(x) if is_last and x.requires_grad else x
    return result


def recomputed(compute: Callable[[], Tensor], consume: Callable[[Tensor], Tensor]) -> Tensor:
    """Return ``consume(compute())`` without keeping the tensor between them.

    The backward pass of ``consume`` computes it again; worth it for what is cheap to compute
    and large to keep. Derivatives of any order stay exact.

    Args:
        compute: Gives the same tensor at every call, without side effects.
        consume: Keeps its argument for its backward pass.
    """
    between = compute()

    def pack(tensor: Tensor) -> Tensor | Callable[[], Tensor]:
        is_between = tensor.data_ptr() == between.data_ptr() and tensor.shape == between.shape
        return again if is_between else tensor

    # The backward pass runs outside of autocast regions.
    kind = between.device.type
    autocast = torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)

    def again() -> Tensor:
        with torch.no_grad(), torch.autocast(kind, dtype=autocast[0], enabled=autocast[1]):
            return compute()

    def unpack(packed: Tensor | Callable[[], Tensor]) -> Tensor:
        return packed if isinstance(packed, Tensor) else packed()

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        return consume(between)


def with_compact_indices(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return ``layer(x)`` of a max pooling, keeping its indices in two or four bytes, not eight.

    Args:
        layer: Max pooling over images.
        x: `batch x channels x height x width`-dim features.
    """
    pixels = x.shape[2] * x.shape[3]
    small = torch.int16 if pixels <= torch.iinfo(torch.int16).max else torch.int32

    def pack(tensor: Tensor) -> Tensor:
        return tensor.to(small) if tensor.dtype == torch.int64 else tensor

    def unpack(tensor: Tensor) -> Tensor:
        return tensor.to(torch.int64) if tensor.dtype == small else tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        return layer(x)


def to_phases(x: Tensor) -> Tensor:
    """Put the four pixels of every 2x2 block into four images of half the size.

    A convolution of dilation 2 becomes one of dilation 1 in this form; layers that treat all
    pixels alike (1x1 convolution, batch normalisation) are the same in it.

    Args:
        x: `batch x channels x 2h x 2w`-dim features.

    Returns:
        `4 batch x channels x h x w`-dim features, channels last in memory.
    """
    batch, channels, height, width = x.shape
    blocks = x.permute(0, 2, 3, 1).reshape(batch, height // 2, 2, width // 2, 2, channels)
    phases = blocks.permute(2, 4, 0, 1, 3, 5).reshape(-1, height // 2, width // 2, channels)
    return phases.permute(0, 3, 1, 2)


def from_phases(x: Tensor) -> Tensor:
    """Undo ``to_phases``."""
    batch, channels, height, width = x.shape
    blocks = x.permute(0, 2, 3, 1).reshape(2, 2, batch // 4, height, width, channels)
    pixels = blocks.permute(2, 3, 0, 4, 1, 5).reshape(batch // 4, 2 * height, 2 * width, channels)
    return pixels.permute(0, 3, 1, 2)


class _InPlaceRelu(torch.autograd.Function):
    """relu with its mask as the only saved tensor."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x > 0)
        ctx.mark_dirty(x)
        return x.relu_()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (mask,) = ctx.saved_tensors
        # A product of two types is several times slower than a cast and a product of one.
        gradient: Tensor = gradients[0] * mask.to(gradients[0].dtype)
        return gradient


class _ChannelsLastGradient(torch.autograd.Function):
    """Identity with a backward pass that copies into channels last where needed."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].contiguous(memory_format=torch.channels_last)


class _LinearCombination(torch.autograd.Function):
    """sum_k weight_k * base_k in one pass a term, forward and backward."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, weights: Tensor, values: tuple[float, ...], *bases: Tensor
    ) -> Tensor:
        ctx.save_for_backward(weights, *bases)
        ctx.values = values  # type: ignore[attr-defined]
        total = bases[0] * values[0]
        for base, value in zip(bases[1:], values[1:], strict=True):
            total.add_(base, alpha=value)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weights, *bases = ctx.saved_tensors
        (gradient,) = gradients
        # With create_graph the result must depend on the weights as tensors.
        is_differentiable = torch.is_grad_enabled()
        factors = weights.to(gradient.device) if is_differentiable else ctx.values
        by_base = [
            factor * gradient if needed else None
            for factor, needed in zip(factors, ctx.needs_input_grad[2:], strict=True)
        ]
        by_weight = None
        if ctx.needs_input_grad[0]:
            dots = [_dot(gradient, base, exact=is_differentiable) for base in bases]
            by_weight = torch.stack(dots).to(weights.device, weights.dtype)
        return by_weight, None, *by_base


def _dot(a: Tensor, b: Tensor, *, exact: bool) -> Tensor:
    is_flat = a.stride() == b.stride() and (
        a.is_contiguous() or a.is_contiguous(memory_format=torch.channels_last)
    )
    if exact or not is_flat or a.dtype != b.dtype or a.dtype.itemsize < 4:
        return (a * b).sum()
    return torch.dot(a.as_strided((a.numel(),), (1,)), b.as_strided((b.numel(),), (1,)))
