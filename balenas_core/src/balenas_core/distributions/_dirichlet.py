"""A Dirichlet over the weights themselves, as in DrNAS."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Generator, Tensor

from balenas_core.distributions._offset import LogitOffset
from balenas_core.interfaces.distribution import (
    ArchitectureDistribution,
    initial_logits,
    softmax_entropy,
)
from balenas_core.interfaces.space import Decision, Weights
from balenas_core.plugins.builtin import DirichletOptions

# Below this a draw is one-hot to every digit, and log(u) / concentration would overflow.
_SMALLEST_CONCENTRATION = 1e-6


class DirichletDistribution(ArchitectureDistribution):
    """Each slot's weights are a draw from Dirichlet(elu(offset + alpha) + 1).

    ``alpha`` is learned, ``offset`` is constant, see ``set_offset``. The anchor adds
    ``anchor_scale`` times a distance to Dirichlet(a), a = elu(offset) + 1, which without an offset
    is the uniform distribution over the simplex: ``l2`` is 1/2 * sum((concentration - a)^2),
    ``kl`` is KL(q || Dirichlet(a)), both summed over slots.

    References:
        Chen et al. 2021, "DrNAS", ICLR. Deviation: draws are differentiated through
        log Gamma(c + 1) + log(u) / c, which is also a pathwise gradient but cannot underflow,
        instead of through Gamma(c).
    """

    def __init__(
        self, options: DirichletOptions, *, decisions: Sequence[Decision], generator: Generator
    ) -> None:
        super().__init__(decisions)
        self._options = options
        self.alpha = initial_logits(self.decisions, options.initial_scale, generator)
        self.offset = LogitOffset(self.decisions)

    def set_offset(self, offset: Mapping[str, Tensor]) -> None:
        """Set the constants that are added to the logits."""
        self.offset.set(offset)

    def concentration(self) -> dict[str, Tensor]:
        """Return elu(offset + alpha) + 1 of every decision, `slots x choices`-dim, positive."""
        alpha = self.offset.added_to(self.alpha)
        return {name: _concentration(value) for name, value in alpha.items()}

    def weights(self, generator: Generator) -> Weights:
        """Return one reparameterised draw from every slot's Dirichlet."""
        return {
            name: torch.softmax(_log_gamma_draw(c, generator), dim=-1)
            for name, c in self.concentration().items()
        }

    def mean_weights(self) -> Weights:
        """Return concentration / sum(concentration), the mean of the Dirichlet."""
        return {name: c / c.sum(-1, keepdim=True) for name, c in self.concentration().items()}

    def draw_weights(self, generator: Generator) -> Weights:
        """Return one draw of the weights."""
        return self.weights(generator)

    def entropy(self) -> Tensor:
        """Return the differential entropy over the simplex, summed over slots, in nats."""
        return torch.stack([_entropy(c) for c in self.concentration().values()]).sum()

    def kl(self) -> Tensor:
        """Return KL(q || anchor), summed over slots, in nats."""
        concentration, anchor = self.concentration(), self._anchor()
        if anchor is None:
            return torch.stack([_kl_to_uniform(c) for c in concentration.values()]).sum()
        return torch.stack([_kl(c, anchor[name]) for name, c in concentration.items()]).sum()

    def _anchor(self) -> dict[str, Tensor] | None:
        """Return the concentration of the anchor; None for ones."""
        offset = self.offset.tables()
        if offset is None:
            return None
        return {name: _concentration(table) for name, table in offset.items()}

    def regularizer(self) -> Tensor:
        """Return the scaled distance to the anchor."""
        if self._options.anchor == "kl":
            return self._options.anchor_scale * self.kl()
        if self._options.anchor == "l2":
            anchor = self._anchor()
            squares = [
                (c - (1 if anchor is None else anchor[name])).square().sum()
                for name, c in self.concentration().items()
            ]
            return 0.5 * self._options.anchor_scale * torch.stack(squares).sum()
        return torch.zeros(())

    @torch.no_grad()
    def statistics(self) -> dict[str, float]:
        """Return entropy, mean concentration, KL to the anchor and the mean weights' entropy."""
        concentration = torch.cat([c.flatten() for c in self.concentration().values()])
        log_mean = {name: w.log() for name, w in self.mean_weights().items()}
        return {
            "entropy": self.entropy().item(),
            "weights_entropy": softmax_entropy(log_mean),
            "concentration_mean": concentration.mean().item(),
            "kl_to_anchor": self.kl().item(),
        }


def _concentration(alpha: Tensor) -> Tensor:
    # elu(alpha) + 1 without the loss of digits of (exp(alpha) - 1) + 1 below zero.
    # The inner one keeps the branch that is not taken from overflowing into a NaN gradient.
    is_positive = alpha > 0
    positive = torch.where(is_positive, alpha + 1, torch.where(is_positive, 0.0, alpha).exp())
    return positive.clamp_min(_SMALLEST_CONCENTRATION)


def _log_gamma_draw(concentration: Tensor, generator: Generator) -> Tensor:
    """Return log of Gamma(concentration, 1) draws; their softmax is a Dirichlet draw.

    Gamma(c) = Gamma(c + 1) * u^(1/c) in distribution: in log space it holds for any c > 0.
    """
    # Noise is drawn on the CPU, so that a seed gives one draw on every device.
    c = concentration.cpu()
    # torch.distributions.Gamma.rsample calls the same function, but takes no generator.
    gamma = torch._standard_gamma(c + 1, generator=generator)
    exponential = torch.empty_like(c).exponential_(generator=generator)
    return (gamma.log() - exponential / c).to(concentration.device)


def _entropy(concentration: Tensor) -> Tensor:
    total = concentration.sum(-1)
    choices = concentration.shape[-1]
    log_normalizer = torch.lgamma(concentration).sum(-1) - torch.lgamma(total)
    return (
        log_normalizer
        + (total - choices) * torch.digamma(total)
        - ((concentration - 1) * torch.digamma(concentration)).sum(-1)
    ).sum()


def _kl(concentration: Tensor, anchor: Tensor) -> Tensor:
    """Return KL(Dirichlet(concentration) || Dirichlet(anchor)), summed over slots."""
    slots = [torch.distributions.Dirichlet(c, validate_args=False) for c in (concentration, anchor)]
    return torch.distributions.kl_divergence(*slots).sum()


def _kl_to_uniform(concentration: Tensor) -> Tensor:
    # KL(q || p) = cross-entropy - entropy; the density of Dirichlet(1) is (choices - 1)!.
    slots, choices = concentration.shape
    return -slots * math.lgamma(choices) - _entropy(concentration)
