"""Random search."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator

from balenas_core import ArchitectureDistribution, ArchitectureOptimizer, Objective
from balenas_optimizer_baselines._descent import check_loss
from balenas_optimizer_baselines._options import RandomOptions


class RandomOptimizer(ArchitectureOptimizer):
    """Leaves the distribution at its random start.

    By default no supernet is trained: with selector ``argmax`` the result is one random
    architecture, with a proxy the best-scoring of random draws, with ``random_search`` or
    ``evolution`` over a benchmark the best that these find.

    With ``train_supernet`` the engine trains the shared weights at draws of the distribution
    (set ``training.weights_at: sample``), one path at a time if it is ``gumbel_softmax`` with
    ``hard``: what ``random_search`` and ``evolution`` with inherited weights need.

    References:
        Li and Talwalkar 2019, "Random Search and Reproducibility for NAS", UAI (random
        search with weight sharing). Guo et al. 2020, "Single Path One-Shot", ECCV (uniform
        sampling).
    """

    def __init__(
        self,
        options: RandomOptions,
        *,
        distribution: ArchitectureDistribution,
        dataset_size: int,
        generator: Generator,
    ) -> None:
        del dataset_size
        self.uses_supernet = options.train_supernet
        self._distribution = distribution
        self._generator = generator

    @torch.no_grad()
    def step(self, objective: Objective) -> float:
        """Change nothing and return the loss at one draw."""
        value = objective(self._distribution.weights(self._generator)).item()
        check_loss(value)
        return value

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the generator, if steps are made at all."""
        return {"generator": self._generator.get_state()} if self.uses_supernet else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        if state:
            self._generator.set_state(state["generator"].cpu())
