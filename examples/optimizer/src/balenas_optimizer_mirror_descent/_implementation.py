"""Updates a distribution from validation losses."""

from __future__ import annotations

import math
from typing import Any

import torch
from balenas_core import ArchitectureDistribution, ArchitectureOptimizer, Objective
from balenas_core.errors import DivergenceError
from torch import Generator

from balenas_optimizer_mirror_descent import Options


class MirrorDescent(ArchitectureOptimizer):
    """Stochastic gradient descent with momentum, at one draw of the distribution per step."""

    def __init__(
        self,
        options: Options,
        *,
        distribution: ArchitectureDistribution,
        dataset_size: int,
        generator: Generator,
    ) -> None:
        del dataset_size
        self._distribution = distribution
        self._generator = generator
        self._sgd = torch.optim.SGD(
            distribution.parameters(), lr=options.lr, momentum=options.momentum
        )

    def step(self, objective: Objective) -> float:
        """Make one update and return the loss that it saw."""
        self._sgd.zero_grad()
        loss = objective(self._distribution.weights(self._generator))
        value = loss.item()
        if not math.isfinite(value):
            raise DivergenceError(f"the validation loss is {value}")
        (loss + self._distribution.regularizer()).backward()
        self._sgd.step()
        return value

    def state_dict(self) -> dict[str, Any]:
        """Return everything needed to go on."""
        return {"sgd": self._sgd.state_dict(), "generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self._sgd.load_state_dict(state["sgd"])
        self._generator.set_state(state["generator"].cpu())
