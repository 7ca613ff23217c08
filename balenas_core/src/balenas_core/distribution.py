"""Distributions over architecture logits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Generator, Tensor, nn

from balenas_core.space import A, Decision, SearchSpace, Weights


class ArchitectureDistribution(nn.Module, ABC):
    """A distribution over relaxed architectures; it owns the architecture parameters.

    A plugin's implementation is called as ``Distribution(options, decisions=...,
    generator=...)``. Everything it learns is a parameter or buffer, so ``state_dict`` is
    complete.

    Args:
        decisions: The decisions of the search space.
    """

    def __init__(self, decisions: Sequence[Decision]) -> None:
        super().__init__()
        self.decisions = tuple(decisions)

    @abstractmethod
    def weights(self, generator: Generator) -> Weights:
        """Draw relaxed architecture weights, differentiable in the parameters.

        Returns:
            For every decision a `slots x choices`-dim tensor; each row is non-negative and
            sums to one.
        """

    @abstractmethod
    def mean_weights(self) -> Weights:
        """Return the weights at the centre of the distribution, differentiable."""

    @abstractmethod
    def draw_weights(self, generator: Generator) -> Weights:
        """Draw weights whose discretisation is one draw of a discrete architecture."""

    @abstractmethod
    def entropy(self) -> Tensor:
        """Return the entropy in nats, a scalar (differential for continuous distributions)."""

    def draw(
        self, space: SearchSpace[A], count: int, generator: Generator
    ) -> list[A]:
        """Draw discrete architectures, duplicates included."""
        with torch.no_grad():
            return [space.discretize(self.draw_weights(generator)) for _ in range(count)]

    def argmax(self, space: SearchSpace[A]) -> A:
        """Return the discretisation of the mean weights."""
        with torch.no_grad():
            return space.discretize(self.mean_weights())

    def statistics(self) -> dict[str, float]:
        """Return what is worth recording each epoch, such as ``{"sigma_mean": 0.9}``."""
        return {}


def initial_logits(
    decisions: Sequence[Decision], scale: float, generator: Generator
) -> nn.ParameterDict:
    """Return one `slots x choices`-dim parameter per decision, drawn from N(0, scale^2)."""
    return nn.ParameterDict(
        {d.name: nn.Parameter(scale * torch.randn(d.shape, generator=generator)) for d in decisions}
    )


def softmax_entropy(logits: Mapping[str, Tensor]) -> float:
    """Return the entropy of softmax(logits) in nats, averaged over the slots of all decisions."""
    log_p = [torch.log_softmax(value, dim=-1) for value in logits.values()]
    return -torch.cat([(p.exp() * p).sum(-1) for p in log_p]).mean().item()
