"""What it takes to score one architecture after another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from balenas_core.architecture import Architecture
from balenas_core.formula import fill_by_formula
from balenas_core.proxy import Batch, Proxy
from balenas_core.random import seeded
from balenas_core.scoring import score_network
from balenas_core.space import AnySpace, Task

Init = Literal["default", "formula"]


@dataclass(frozen=True, slots=True)
class ScoredRow:
    """The scores of one architecture.

    Args:
        architecture: Its text form.
        scored_as: Text form of the network that was scored: its own, or that of the
            representative of all architectures that compute the same.
        scores: Score by proxy; ``-inf`` for one that failed.
        errors: Why, by proxy, for those that raised.
    """

    architecture: str
    scored_as: str
    scores: Mapping[str, float]
    errors: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ScoringJob:
    """Networks of one space, scored on one batch by the same proxies.

    It can be pickled, for other processes, where space and proxies can.

    Args:
        space: The search space.
        task: What networks are built for.
        proxies: Proxy by name.
        batch: Images and labels, on the device where networks are scored.
        init: ``default`` for the space's own initialisation under ``seed``; ``formula`` fills
            weights by ``balenas_core.formula``, with the space's labels if it has some.
        seed: Of the initialisation, the same for every network, and of the proxies.
        dtype: Floating-point type of networks and images.
    """

    space: AnySpace
    task: Task
    proxies: Mapping[str, Proxy]
    batch: Batch
    init: Init = "default"
    seed: int = 0
    dtype: torch.dtype = torch.float32

    def network(self, architecture: Architecture) -> nn.Module:
        """Build the network of an architecture; draws from torch's global generator."""
        with seeded(self.seed):
            network = self.space.network(architecture, self.task)
        network = network.to(self.batch.images.device, self.dtype)
        if self.init == "formula":
            fill_by_formula(network, self.space.formula_labels(network))
        return network

    def score(self, network: nn.Module) -> tuple[dict[str, float], dict[str, str]]:
        """Return score by proxy, and why by proxy for those that raised."""
        found = score_network(network, self.batch, self.proxies, seed=self.seed)
        errors = {n: f"{type(error).__name__}: {error}" for n, error in found.errors.items()}
        return dict(found.scores), errors
