"""The Gaussian over logits that BaLeNAS learns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Generator, Tensor, nn

from balenas_core.distributions._offset import LogitOffset
from balenas_core.interfaces.distribution import (
    ArchitectureDistribution,
    initial_logits,
    softmax_entropy,
)
from balenas_core.interfaces.space import Decision, Weights
from balenas_core.plugins.builtin import GaussianOptions


class GaussianDistribution(ArchitectureDistribution):
    """q(alpha) = N(offset + mean, diag(sigma^2)) over the logits of every decision.

    Relaxed weights are softmax(alpha) with alpha = offset + mean + sigma * eps, eps ~ N(0, 1).

    ``mean`` and ``log_sigma`` map each decision to a `slots x choices`-dim parameter; ``offset``
    is constant, see ``set_offset``.

    References:
        Zhang et al. 2022, "BaLeNAS", CVPR (abstract), and the authors' released optimizer.
    """

    def __init__(
        self, options: GaussianOptions, *, decisions: Sequence[Decision], generator: Generator
    ) -> None:
        super().__init__(decisions)
        self.mean = initial_logits(self.decisions, options.initial_scale, generator)
        self.offset = LogitOffset(self.decisions)
        log_sigma = math.log(options.initial_sigma)
        self.log_sigma = nn.ParameterDict(
            {d.name: nn.Parameter(torch.full(d.shape, log_sigma)) for d in self.decisions}
        )

    def set_offset(self, offset: Mapping[str, Tensor]) -> None:
        """Set the constants that are added to the logits."""
        self.offset.set(offset)

    def centre(self) -> dict[str, Tensor]:
        """Return offset + mean of every decision, the mean of its logits."""
        return self.offset.added_to(self.mean)

    def weights(self, generator: Generator) -> Weights:
        """Return softmax of one reparameterised draw of the logits."""
        weights = {}
        for name, mean in self.centre().items():
            # Noise is drawn on the CPU, so that a seed gives one draw on every device.
            eps = torch.randn(mean.shape, generator=generator, dtype=mean.dtype).to(mean.device)
            weights[name] = torch.softmax(mean + self.log_sigma[name].exp() * eps, dim=-1)
        return weights

    def mean_weights(self) -> Weights:
        """Return softmax(offset + mean)."""
        return {name: torch.softmax(mean, dim=-1) for name, mean in self.centre().items()}

    def draw_weights(self, generator: Generator) -> Weights:
        """Return softmax of one draw of the logits."""
        return self.weights(generator)

    def entropy(self) -> Tensor:
        """Return the differential entropy, 1/2 * sum(ln(2 pi e sigma^2)), in nats."""
        log_sigma = torch.cat([s.flatten() for s in self.log_sigma.values()])
        return log_sigma.sum() + 0.5 * log_sigma.numel() * math.log(2 * math.pi * math.e)

    def kl(self, prior_precision: float) -> Tensor:
        """Return KL(q || N(offset, 1 / prior_precision)) in nats.

        1/2 * sum(lambda sigma^2 + lambda mean^2 - 1 - ln(lambda sigma^2)).
        """
        mean = torch.cat([m.flatten() for m in self.mean.values()])
        log_sigma = torch.cat([s.flatten() for s in self.log_sigma.values()])
        scaled = prior_precision * (log_sigma.mul(2).exp() + mean.square())
        return 0.5 * (scaled - 1 - math.log(prior_precision) - 2 * log_sigma).sum()

    @torch.no_grad()
    def statistics(self) -> dict[str, float]:
        """Return mean, smallest and largest sigma, and the entropies of q and mean weights."""
        sigma = torch.cat([s.flatten() for s in self.log_sigma.values()]).exp()
        return {
            "sigma_mean": sigma.mean().item(),
            "sigma_min": sigma.min().item(),
            "sigma_max": sigma.max().item(),
            "entropy": self.entropy().item(),
            "weights_entropy": softmax_entropy(self.centre()),
        }
