"""Exponentiated gradient on architecture weights."""

from __future__ import annotations

import math
from typing import Any

import torch
from balenas_core import ArchitectureDistribution, ArchitectureOptimizer, Objective
from balenas_core.errors import DivergenceError
from torch import Generator

from balenas_optimizer_mirror_descent import Options


class MirrorDescent(ArchitectureOptimizer):
    """weights <- weights * exp(-lr * gradient), normalised: a plain step in the logits.

    The gradient is that in the weights, not in the logits: it does not vanish where a weight is
    small.

    References:
        Kivinen and Warmuth 1997, "Exponentiated Gradient versus Gradient Descent".
    """

    def __init__(
        self,
        options: Options,
        *,
        distribution: ArchitectureDistribution,
        dataset_size: int,
        generator: Generator,
    ) -> None:
        del dataset_size
        self._options = options
        self._distribution = distribution
        self._generator = generator

    def step(self, objective: Objective) -> float:
        """Make one update and return the loss that it saw."""
        drawn = self._distribution.weights(self._generator)
        weights = {name: table.detach().requires_grad_() for name, table in drawn.items()}
        loss = objective(weights)
        value = loss.item()
        if not math.isfinite(value):
            raise DivergenceError(f"the validation loss is {value}")
        gradients = torch.autograd.grad(loss, list(weights.values()))
        logits = dict(self._distribution.named_parameters())
        with torch.no_grad():
            for name, gradient in zip(weights, gradients, strict=True):
                logits[f"logits.{name}"].sub_(self._options.lr * gradient)
        return value

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the generator; all else is in the distribution."""
        return {"generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self._generator.set_state(state["generator"].cpu())
