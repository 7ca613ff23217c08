"""From a learned distribution to one architecture."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Generator, nn

from balenas_core.architecture import Architecture
from balenas_core.distribution import ArchitectureDistribution
from balenas_core.proxy import Batch
from balenas_core.space import AnySpace, Supernet, Task


@dataclass(frozen=True, slots=True)
class Candidate:
    """One architecture that was considered.

    Args:
        architecture: The candidate.
        rank: 1 for the best.
        scores: Score by proxy name; empty where nothing was scored.
        is_argmax: Whether it is the argmax of the distribution's mean.
        draws: How often it was drawn.
    """

    architecture: Architecture
    rank: int
    scores: Mapping[str, float]
    is_argmax: bool
    draws: int


@dataclass(frozen=True, slots=True)
class Selection:
    """Ranked candidates, best first. The first is the choice."""

    candidates: tuple[Candidate, ...]

    @property
    def chosen(self) -> Candidate:
        """The best candidate."""
        return self.candidates[0]


def _compute(key: str, compute: Callable[[], Mapping[str, float]]) -> Mapping[str, float]:
    del key
    return compute()


@dataclass(frozen=True, slots=True)
class SelectionContext:
    """What a selector may look at.

    Args:
        space: The search space.
        task: What networks are built for.
        distribution: The learned distribution.
        supernet: The trained supernet.
        batch: A validation batch.
        evaluate: Accuracy in percent of a network on the validation half, after its batch
            normalisation has seen a few training batches.
        generator: Source of every random number of the selection (a CPU generator).
        seed: Seed of the candidates' fresh weights, the same for each of them.
        device: Where networks are scored.
        report: Called as ``report(done, total)`` for progress.
        remember: ``remember(key, compute)`` returns ``compute()``, numbers by name, or what it
            returned for the same key before the search was interrupted and resumed. For what
            takes long, such as scores; ``compute`` must not draw from ``generator``.
    """

    space: AnySpace
    task: Task
    distribution: ArchitectureDistribution
    supernet: Supernet
    batch: Batch
    evaluate: Callable[[nn.Module], float]
    generator: Generator
    seed: int
    device: torch.device
    report: Callable[[int, int], None]
    remember: Callable[[str, Callable[[], Mapping[str, float]]], Mapping[str, float]] = _compute


class Selector(ABC):
    """Ranks candidates drawn from a distribution and chooses one.

    A plugin's implementation is called as ``Selector(options)``.
    """

    @abstractmethod
    def select(self, context: SelectionContext) -> Selection:
        """Return at least one ranked candidate."""
