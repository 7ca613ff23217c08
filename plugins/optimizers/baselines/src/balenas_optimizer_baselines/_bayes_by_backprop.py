"""Bayes by backprop: the Gaussian of BaLeNAS, without the natural gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator

from balenas_core import (
    ArchitectureDistribution,
    ArchitectureOptimizer,
    Objective,
)
from balenas_core.distributions import GaussianDistribution
from balenas_core.interfaces.optimizer import Combination
from balenas_optimizer_baselines._descent import check_loss, checked_step, make_adam
from balenas_optimizer_baselines._options import BayesByBackpropOptions


class BayesByBackpropOptimizer(ArchitectureOptimizer):
    """Adam on mean and log-sigma, by ordinary gradients of the evidence lower bound.

    Minimises E_q[L_val] + temperature / ess * KL(q || N(0, 1 / prior_precision)), the same
    objective as natural-gradient variational inference: the control that shows what the
    natural gradient buys.

    References:
        Blundell et al. 2015, "Weight Uncertainty in Neural Networks", ICML.
        Deviations: sigma = exp(rho) instead of log(1 + exp(rho)), and the KL divergence in
        closed form.
    """

    def __init__(
        self,
        options: BayesByBackpropOptions,
        *,
        distribution: ArchitectureDistribution,
        dataset_size: int,
        generator: Generator,
    ) -> None:
        if not isinstance(distribution, GaussianDistribution):
            raise TypeError(
                f"bayes_by_backprop needs the distribution 'gaussian', "
                f"got {type(distribution).__name__}"
            )
        self._options = options
        self._distribution = distribution
        self._kl_factor = options.temperature / (options.ess or dataset_size)
        self._generator = generator
        self._adam = make_adam(distribution, lr=options.lr, betas=(options.beta1, options.beta2))

    def draw_apart(self) -> Combination:
        """Learn from the mean gradient of all processes' draws."""
        return "gradients"

    def step(self, objective: Objective) -> float:
        """Make one step of Adam and return the mean loss over samples, without the KL."""
        self._adam.zero_grad(set_to_none=True)
        samples, total = self._options.samples, 0.0
        for _ in range(samples):
            loss = objective(self._distribution.weights(self._generator))
            total += loss.item()
            check_loss(total)
            (loss / samples).backward()
        (self._kl_factor * self._kl()).backward()
        checked_step(self._adam, self._distribution)
        return total / samples

    def _kl(self) -> torch.Tensor:
        return self._distribution.kl(self._options.prior_precision)

    @torch.no_grad()
    def statistics(self) -> dict[str, float]:
        """Return the KL divergence from the prior, in nats."""
        return {"kl": self._kl().item()}

    def state_dict(self) -> dict[str, Any]:
        """Return Adam's moments and the state of the generator."""
        return {"adam": self._adam.state_dict(), "generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self._adam.load_state_dict(state["adam"])
        self._generator.set_state(state["generator"].cpu())
