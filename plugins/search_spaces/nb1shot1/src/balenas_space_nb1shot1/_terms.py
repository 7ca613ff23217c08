"""Terms of the supernet's sums that are added in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from balenas_core.nn import (
    NodeSum,
    Pool,
    SharingOperation,
    Source,
    inner_product,
    max_pool_gradient,
    max_pool_with_indices,
    runs_plain,
)


class MaxPool(SharingOperation):
    """3x3 max pooling of stride 1, whose result is not kept for the backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool("max")

    def forward(self, x: Tensor) -> Tensor:
        """Map `batch x channels x height x width`-dim features to the same shape."""
        out: Tensor = self.pool(x)
        return out

    def accumulate(self, source: Source, weight: Tensor, value: float, total: NodeSum) -> None:
        """Add in place; no other operation pools the same features."""
        if runs_plain():
            total.add_scaled(self.pool(source.features), weight, value)
        else:
            total.extend(lambda t: _AddMaxPooled.apply(t, source.features, weight, value))


class _AddMaxPooled(torch.autograd.Function):
    """total + weight * max_pool(x).

    A pooling P with its indices given is linear, so that the gradient of the weight, the inner
    product of G and P x, is that of P' G and x as well, which need no result of the pooling.
    """

    @staticmethod
    def forward(ctx: Any, total: Tensor | None, x: Tensor, weight: Tensor, value: float) -> Tensor:
        pooled, indices = max_pool_with_indices(x, 1)
        ctx.save_for_backward(x, weight, indices)
        ctx.value = value
        if total is None:
            return pooled.mul_(value)
        ctx.mark_dirty(total)
        return total.add_(pooled, alpha=value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, indices = ctx.saved_tensors
        needs_total, _, needs_weight, _ = ctx.needs_input_grad
        unscaled = max_pool_gradient(gradients[0], x, indices, 1)
        by_weight = inner_product(unscaled, x).to(weight) if needs_weight else None
        # With create_graph the result must depend on the weight as a tensor.
        by_x = (
            unscaled * weight.to(unscaled.device)
            if torch.is_grad_enabled()
            else unscaled.mul_(ctx.value)
        )
        return gradients[0] if needs_total else None, by_x, by_weight, None


@dataclass(frozen=True, slots=True)
class Part:
    """``weight * features`` at a place of a concatenation; ``value`` is the number in it."""

    place: int
    features: Tensor
    weight: Tensor
    value: float


def add_parts(total: NodeSum, parts: Sequence[Part], count: int) -> None:
    """Add the concatenation of the parts along the channels; places without one are zero.

    Args:
        total: The sum.
        parts: At least one; all of one shape.
        count: Number of places.
    """
    if runs_plain():
        by_place = {part.place: part.weight * part.features for part in parts}
        zero = torch.zeros_like(parts[0].features)
        total.add(torch.cat([by_place.get(place, zero) for place in range(count)], dim=1))
        return
    places, features, weights, values = zip(
        *((part.place, part.features, part.weight, part.value) for part in parts), strict=True
    )
    stacked = torch.stack(weights)
    total.extend(lambda t: _AddParts.apply(t, count, places, values, stacked, *features))


class _AddParts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        total: Tensor | None,
        count: int,
        places: tuple[int, ...],
        values: tuple[float, ...],
        weights: Tensor,
        *parts: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(weights, *parts)
        ctx.places, ctx.values = places, values
        if total is None:
            total = torch.cat([torch.zeros_like(parts[0])] * count, dim=1)
        else:
            ctx.mark_dirty(total)
        for place, part, value in zip(places, parts, values, strict=True):
            _at(total, place, part).add_(part, alpha=value)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weights, *parts = ctx.saved_tensors
        needs_total, _, _, _, needs_weights, *_ = ctx.needs_input_grad
        is_differentiable = torch.is_grad_enabled()
        by_parts, products = [], []
        for place, part, weight, value in zip(ctx.places, parts, weights, ctx.values, strict=True):
            gradient = _at(gradients[0], place, part)
            if not is_differentiable:
                # A copy of its own, in the layout of the part, that is scaled in place below.
                gradient = torch.empty_like(part).copy_(gradient)
            if needs_weights:
                products.append(inner_product(gradient, part))
            by_parts.append(
                gradient * weight.to(gradient.device) if is_differentiable else gradient.mul_(value)
            )
        by_weights = torch.stack(products).to(weights) if needs_weights else None
        return gradients[0] if needs_total else None, None, None, None, by_weights, *by_parts


def _at(joined: Tensor, place: int, part: Tensor) -> Tensor:
    channels = part.shape[1]
    return joined.narrow(1, place * channels, channels)
