"""A single point of logits, as in DARTS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Generator, Tensor

from balenas_core.distributions import _categorical
from balenas_core.distributions._offset import LogitOffset
from balenas_core.interfaces.distribution import (
    DiscreteDistribution,
    initial_logits,
    softmax_entropy,
)
from balenas_core.interfaces.space import Decision, Weights
from balenas_core.plugins.builtin import PointOptions


class PointDistribution(DiscreteDistribution):
    """One value of the logits; relaxed weights are softmax(offset + logits), without noise.

    Discrete draws are categorical: the argmax of logits plus standard Gumbel noise is a draw
    from their softmax in every slot. ``logits`` are learned; ``offset`` is constant, see
    ``set_offset``, and part of "the logits" below.

    References:
        Liu et al. 2019, "DARTS", ICLR, equation 2.
    """

    def __init__(
        self, options: PointOptions, *, decisions: Sequence[Decision], generator: Generator
    ) -> None:
        super().__init__(decisions)
        self.logits = initial_logits(self.decisions, options.initial_scale, generator)
        self.offset = LogitOffset(self.decisions)

    def set_offset(self, offset: Mapping[str, Tensor]) -> None:
        """Set the constants that are added to the logits."""
        self.offset.set(offset)

    def weights(self, generator: Generator) -> Weights:
        """Return softmax(logits); ``generator`` is not used."""
        del generator
        return self.mean_weights()

    def mean_weights(self) -> Weights:
        """Return softmax(logits)."""
        return {name: torch.softmax(logits, dim=-1) for name, logits in self._logits().items()}

    def draw_weights(self, generator: Generator) -> Weights:
        """Return softmax(logits + Gumbel noise)."""
        return {
            name: torch.softmax(logits + _categorical.gumbel_noise(logits, generator), dim=-1)
            for name, logits in self._logits().items()
        }

    def sample(self, generator: Generator) -> Weights:
        """Draw one choice in every slot from softmax(logits), as one-hot weights."""
        return _categorical.sample(self._logits(), generator)

    def log_prob(self, draw: Weights) -> Tensor:
        """Return the log-probability of one-hot weights."""
        return _categorical.log_prob(self._logits(), draw)

    def entropy(self) -> Tensor:
        """Return the entropy of the product of the slots' categoricals, in nats."""
        return _categorical.entropy(self._logits())

    @torch.no_grad()
    def statistics(self) -> dict[str, float]:
        """Return the entropy of the distribution, and its mean over slots."""
        return {
            "entropy": self.entropy().item(),
            "weights_entropy": softmax_entropy(self._logits()),
        }

    def _logits(self) -> dict[str, Tensor]:
        return self.offset.added_to(self.logits)
