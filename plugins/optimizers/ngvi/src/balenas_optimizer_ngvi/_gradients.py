"""Which parameters of a bucket have gradients, and which gradients are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from balenas_optimizer_ngvi._bucket import Bucket
from balenas_optimizer_ngvi.errors import NonFiniteGradientError, OptionError


def with_gradient(bucket: Bucket) -> list[int]:
    """Return the indices of the parameters that have a gradient."""
    return [i for i, p in enumerate(bucket.parameters) if p.grad is not None]


def gradient_of(parameter: Tensor) -> Tensor:
    """Return the gradient of a parameter that has one."""
    assert parameter.grad is not None
    return parameter.grad


def check_gradients(bucket: Bucket, active: Sequence[int]) -> None:
    """Refuse gradients that the update rules do not know.

    Raises:
        OptionError: A gradient is sparse or complex.
    """
    for index in active:
        gradient = gradient_of(bucket.parameters[index])
        if gradient.layout is not torch.strided or gradient.is_complex():
            raise OptionError(
                f"gradients must be dense and real; got {gradient.layout=} and {gradient.dtype=}. "
                "Use sparse=False in the embedding"
            )


def not_finite(
    groups: Sequence[Mapping[str, Any]],
    group: Mapping[str, Any],
    bucket: Bucket,
    active: Sequence[int],
    gradients: Sequence[Tensor],
) -> NonFiniteGradientError:
    """Return the error that names the first parameter with NaN or infinity in its gradient.

    Args:
        groups: All parameter groups of the optimizer.
        group: The one that the bucket belongs to.
        bucket: Where such a gradient was found.
        active: Indices of its parameters that have a gradient.
        gradients: Their gradients.
    """
    counts = [int(gradient.isfinite().logical_not().sum()) for gradient in gradients]
    wrong, index = next((n, i) for n, i in zip(counts, active, strict=True) if n)
    parameter = bucket.parameters[index]
    return NonFiniteGradientError(
        f"the gradient of {_name(groups, group, parameter)} has {wrong} NaN or infinite values of "
        f"{parameter.numel()}; the step was refused and nothing changed. Lower the learning "
        "rate or the temperature, or check the loss"
    )


def _name(groups: Sequence[Mapping[str, Any]], group: Mapping[str, Any], parameter: Tensor) -> str:
    position = next(i for i, p in enumerate(group["params"]) if p is parameter)
    if "param_names" in group:
        return f"parameter {group['param_names'][position]!r}"
    number = next(i for i, g in enumerate(groups) if g is group)
    return f"parameter {position} of group {number}, of shape {tuple(parameter.shape)},"
