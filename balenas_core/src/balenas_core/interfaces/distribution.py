"""Distributions over architecture logits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Generator, Tensor, nn

from balenas_core.errors import UsageError
from balenas_core.interfaces.space import A, Decision, SearchSpace, Weights


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

    def draw(self, space: SearchSpace[A], count: int, generator: Generator) -> list[A]:
        """Draw discrete architectures, duplicates included."""
        with torch.no_grad():
            return [space.discretize(self.draw_weights(generator)) for _ in range(count)]

    def argmax(self, space: SearchSpace[A]) -> A:
        """Return the discretisation of the mean weights."""
        with torch.no_grad():
            return space.discretize(self.mean_weights())

    def allows(self, space: SearchSpace[A], architecture: A) -> bool:
        """Whether an architecture that was not drawn from here may be chosen; here any."""
        del space, architecture
        return True

    def set_offset(self, offset: Mapping[str, Tensor]) -> None:
        """Add constants to the logits, which become where learning starts and what it shrinks to.

        Learned parameters stay the deviation from them: an optimizer's prior of mean zero is
        then one of this mean. They are part of the state, of every probability, and of nothing
        that an optimizer sees. A plugin whose distribution can do this says so by
        ``provides=("offset",)``; ``modifiers.informed_prior`` asks for it. Here a refusal.

        Args:
            offset: Decision -> `slots x choices`-dim tensor; decisions may be left out.

        Raises:
            UsageError: The distribution has no logits to add to.
        """
        del offset
        raise UsageError(
            f"{type(self).__name__} takes no offset of its logits; leave modifiers.informed_prior "
            f"out, or take a distribution that provides 'offset', such as gaussian."
        )

    def regularizer(self) -> Tensor:
        """Return what an optimizer adds to the loss of every step, a scalar; here zero.

        Methods that have a prior of their own (natural-gradient variational inference,
        Bayes by backprop) use that instead.
        """
        return torch.zeros(())

    def set_progress(self, fraction: float) -> None:
        """Move schedules, such as a temperature, to a point of the search; here none.

        Called at the start of every epoch.

        Args:
            fraction: 0 in the first epoch, 1 in the last.
        """
        del fraction

    def statistics(self) -> dict[str, float]:
        """Return what is worth recording each epoch, such as ``{"sigma_mean": 0.9}``."""
        return {}


class DiscreteDistribution(ArchitectureDistribution, ABC):
    """A distribution over discrete choices, whose draws have a probability.

    Declared by the capability ``"categorical"``; what score-function methods (REINFORCE) need.
    """

    @abstractmethod
    def sample(self, generator: Generator) -> Weights:
        """Draw one choice in every slot, as one-hot weights without a gradient."""

    @abstractmethod
    def log_prob(self, draw: Weights) -> Tensor:
        """Return the log-probability of one-hot weights, a scalar differentiable here."""


def initial_logits(
    decisions: Sequence[Decision], scale: float, generator: Generator
) -> nn.ParameterDict:
    """Return one `slots x choices`-dim parameter per decision, drawn from N(0, scale^2)."""
    return nn.ParameterDict(
        {d.name: nn.Parameter(scale * torch.randn(d.shape, generator=generator)) for d in decisions}
    )


LogitTable = Mapping[str, Tensor] | nn.ParameterDict
"""Decision name -> `slots x choices`-dim tensor of logits."""


def softmax_entropy(logits: LogitTable) -> float:
    """Return the entropy of softmax(logits) in nats, averaged over the slots of all decisions."""
    log_p = [torch.log_softmax(value, dim=-1) for value in logits.values()]
    return -torch.cat([(p.exp() * p).sum(-1) for p in log_p]).mean().item()
