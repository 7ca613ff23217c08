"""Adam on architecture parameters."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator

from balenas_core import (
    ArchitectureDistribution,
    ArchitectureOptimizer,
    Objective,
)
from balenas_core.interfaces.optimizer import Combination
from balenas_optimizer_baselines._descent import check_loss, checked_step, make_adam
from balenas_optimizer_baselines._gradient import plain_gradient, unrolled_gradient
from balenas_optimizer_baselines._options import AdamOptions


class AdamOptimizer(ArchitectureOptimizer):
    """Descends the validation loss at one reparameterised draw per step.

    With the distribution ``point`` there is no noise, and this is DARTS: first-order, or
    second-order with ``unrolled``. The distribution's own regularizer joins the loss.

    References:
        Liu et al. 2019, "DARTS", ICLR, section 2.3 (xi = 0; unrolled: equations 7-8) and
        appendix A.1 (settings).
    """

    def __init__(
        self,
        options: AdamOptions,
        *,
        distribution: ArchitectureDistribution,
        dataset_size: int,
        generator: Generator,
    ) -> None:
        del dataset_size
        self._distribution = distribution
        self._generator = generator
        self._gradient = unrolled_gradient if options.unrolled else plain_gradient
        self._adam = make_adam(
            distribution,
            lr=options.lr,
            betas=(options.beta1, options.beta2),
            weight_decay=options.weight_decay,
        )

    def draw_apart(self) -> Combination:
        """Learn from the mean gradient of all processes' draws."""
        return "gradients"

    def step(self, objective: Objective) -> float:
        """Make one step of Adam and return the loss, without the regularizer."""
        self._adam.zero_grad(set_to_none=True)
        weights = self._distribution.weights(self._generator)
        seen = self._gradient(objective, weights)
        check_loss(seen.loss)
        torch.autograd.backward(list(weights.values()), [seen.gradient[name] for name in weights])
        regularizer = self._distribution.regularizer()
        if regularizer.requires_grad:
            regularizer.backward()
        checked_step(self._adam, self._distribution)
        return seen.loss

    def state_dict(self) -> dict[str, Any]:
        """Return Adam's moments and the state of the generator."""
        return {"adam": self._adam.state_dict(), "generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self._adam.load_state_dict(state["adam"])
        self._generator.set_state(state["generator"].cpu())
