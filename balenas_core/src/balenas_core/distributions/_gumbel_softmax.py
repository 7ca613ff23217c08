"""Categorical choices relaxed by Gumbel noise, as in SNAS and GDAS."""

from __future__ import annotations

import math
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
from balenas_core.plugins.builtin import GumbelSoftmaxOptions


class GumbelSoftmaxDistribution(DiscreteDistribution):
    """One categorical per slot; relaxed weights are softmax((offset + logits + g) / temperature).

    ``logits`` are learned, ``offset`` is constant, see ``set_offset``, and part of "the logits"
    below; ``g`` is standard Gumbel noise. With ``hard`` the forward value is the one-hot argmax,
    the other weights being exact zeros whose operations a supernet need not compute, and the
    gradient is that of the relaxed weights (straight-through).

    References:
        Jang et al. 2017, "Categorical Reparameterization with Gumbel-Softmax", ICLR,
        equation 2 and section 2.2. Xie et al. 2019, "SNAS", ICLR; it gives no annealing
        constants, so the defaults here are ours. Dong and Yang 2019, "GDAS", CVPR.
    """

    temperature: Tensor

    def __init__(
        self,
        options: GumbelSoftmaxOptions,
        *,
        decisions: Sequence[Decision],
        generator: Generator,
    ) -> None:
        super().__init__(decisions)
        self._options = options
        self.logits = initial_logits(self.decisions, options.initial_scale, generator)
        self.offset = LogitOffset(self.decisions)
        self.register_buffer("temperature", torch.tensor(options.temperature_start))

    def set_offset(self, offset: Mapping[str, Tensor]) -> None:
        """Set the constants that are added to the logits."""
        self.offset.set(offset)

    def set_progress(self, fraction: float) -> None:
        """Set the temperature to its value at this fraction of the search."""
        self.temperature.fill_(_temperature(self._options, fraction))

    def weights(self, generator: Generator) -> Weights:
        """Return one relaxed draw, or its straight-through one-hot form."""
        weights = {}
        for name, logits in self._logits().items():
            noise = _categorical.gumbel_noise(logits, generator)
            relaxed = torch.softmax((logits + noise) / self.temperature, dim=-1)
            weights[name] = _straight_through(relaxed) if self._options.hard else relaxed
        return weights

    def mean_weights(self) -> Weights:
        """Return softmax(logits), the probabilities of the choices."""
        return {name: torch.softmax(logits, dim=-1) for name, logits in self._logits().items()}

    def draw_weights(self, generator: Generator) -> Weights:
        """Return one draw of the categoricals, one-hot."""
        return self.sample(generator)

    def sample(self, generator: Generator) -> Weights:
        """Draw one choice in every slot, as one-hot weights without a gradient."""
        return _categorical.sample(self._logits(), generator)

    def log_prob(self, draw: Weights) -> Tensor:
        """Return the log-probability of one-hot weights."""
        return _categorical.log_prob(self._logits(), draw)

    def entropy(self) -> Tensor:
        """Return the entropy of the product of the slots' categoricals, in nats."""
        return _categorical.entropy(self._logits())

    def prior_log_ratio(self) -> Tensor:
        """Return E[ln(prior / uniform)] in nats, where softmax(offset) is the prior; else zero.

        KL(q || prior) = KL(q || uniform) - E[ln(prior / uniform)].
        """
        offset = self.offset.tables()
        if offset is None:
            return torch.zeros(())
        weights = self.mean_weights()
        ratios = {
            name: torch.log_softmax(table, dim=-1) + math.log(table.shape[-1])
            for name, table in offset.items()
        }
        return torch.stack([(weights[name] * r).sum() for name, r in ratios.items()]).sum()

    def _logits(self) -> dict[str, Tensor]:
        return self.offset.added_to(self.logits)

    @torch.no_grad()
    def statistics(self) -> dict[str, float]:
        """Return the temperature, the entropy, and its mean over slots."""
        return {
            "temperature": self.temperature.item(),
            "entropy": self.entropy().item(),
            "weights_entropy": softmax_entropy(self._logits()),
        }


def _temperature(options: GumbelSoftmaxOptions, fraction: float) -> float:
    start, end = options.temperature_start, options.temperature_end
    if options.temperature_schedule == "linear":
        return start + (end - start) * fraction
    return float(start * (end / start) ** fraction)


def _straight_through(relaxed: Tensor) -> Tensor:
    """Return the one-hot argmax, with the gradient of ``relaxed``."""
    hard = _categorical.one_hot_argmax(relaxed.detach())
    # In this order the added term is exactly zero, so that ones and zeros stay exact.
    return hard + (relaxed - relaxed.detach())
