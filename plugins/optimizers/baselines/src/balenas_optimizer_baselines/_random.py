"""Random search."""

from __future__ import annotations

from typing import Any

from torch import Generator

from balenas_core import ArchitectureDistribution, ArchitectureOptimizer, Objective


class RandomOptimizer(ArchitectureOptimizer):
    """Leaves the distribution at its random start, and asks for no supernet.

    With selector ``argmax`` the result is one random architecture; with a proxy it is the
    best-scoring of uniform draws.
    """

    uses_supernet = False

    def __init__(
        self,
        options: None = None,
        *,
        distribution: ArchitectureDistribution,
        dataset_size: int,
        generator: Generator,
    ) -> None:
        del options, distribution, dataset_size, generator

    def step(self, objective: Objective) -> float:
        """Refuse: the engine makes no steps where ``uses_supernet`` is False.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError("random search makes no steps: it declares uses_supernet = False")

    def state_dict(self) -> dict[str, Any]:
        """Return an empty state."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Accept the empty state."""
