"""Checked steps of Adam, which every optimizer of this package makes."""

from __future__ import annotations

import math

import torch

from balenas_core import ArchitectureDistribution
from balenas_core.errors import DivergenceError


def make_adam(
    distribution: ArchitectureDistribution,
    *,
    lr: float,
    betas: tuple[float, float],
    weight_decay: float = 0.0,
) -> torch.optim.Adam:
    """Return Adam on every parameter of the distribution."""
    return torch.optim.Adam(
        distribution.parameters(), lr=lr, betas=betas, weight_decay=weight_decay
    )


def check_loss(value: float) -> None:
    """Check that a loss is a number.

    Raises:
        DivergenceError: It is not.
    """
    if not math.isfinite(value):
        raise DivergenceError(f"the validation loss is {value}")


def checked_step(adam: torch.optim.Adam, distribution: ArchitectureDistribution) -> None:
    """Make Adam's step.

    Raises:
        DivergenceError: A gradient is not finite; nothing was changed.
    """
    for name, parameter in distribution.named_parameters():
        if parameter.grad is not None and not parameter.grad.isfinite().all():
            raise DivergenceError(f"the gradient of {name} is not finite")
    adam.step()
