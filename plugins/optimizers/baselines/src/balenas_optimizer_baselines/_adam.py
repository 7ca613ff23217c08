"""Adam on architecture parameters."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator

from balenas_core import ArchitectureDistribution, ArchitectureOptimizer, Objective
from balenas_core.errors import DivergenceError
from balenas_optimizer_baselines._options import AdamOptions


class AdamOptimizer(ArchitectureOptimizer):
    """Descends the validation loss at one reparameterised draw per step.

    With the distribution ``point`` there is no noise, and this is first-order DARTS.

    References:
        Liu et al. 2019, "DARTS", ICLR, section 2.3 (xi = 0) and appendix A.1 (settings).
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
        self._adam = torch.optim.Adam(
            distribution.parameters(),
            lr=options.lr,
            betas=(options.beta1, options.beta2),
            weight_decay=options.weight_decay,
        )

    def step(self, objective: Objective) -> float:
        """Make one step of Adam and return the loss."""
        self._adam.zero_grad(set_to_none=True)
        loss = objective(self._distribution.weights(self._generator))
        value = loss.item()
        if not math.isfinite(value):
            raise DivergenceError(f"the validation loss is {value}")
        loss.backward()  # type: ignore[no-untyped-call]
        for name, parameter in self._distribution.named_parameters():
            if parameter.grad is not None and not parameter.grad.isfinite().all():
                raise DivergenceError(f"the gradient of {name} is not finite")
        self._adam.step()
        return value

    def state_dict(self) -> dict[str, Any]:
        """Return Adam's moments and the state of the generator."""
        return {"adam": self._adam.state_dict(), "generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self._adam.load_state_dict(state["adam"])
        self._generator.set_state(state["generator"].cpu())
