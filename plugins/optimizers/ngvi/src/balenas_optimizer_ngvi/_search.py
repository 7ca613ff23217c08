"""NGVI as the architecture optimizer of a search."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator

from balenas_core import ArchitectureOptimizer, Objective
from balenas_core.distributions import GaussianDistribution
from balenas_core.errors import DivergenceError
from balenas_core.interfaces.optimizer import Combination
from balenas_optimizer_ngvi._config import (
    DEFAULTS,
    PRIOR_TOLERANCE,
    NGVIOptions,
    length_dependent,
)
from balenas_optimizer_ngvi._native import native_status
from balenas_optimizer_ngvi._optimizer import NGVI


class NGVIOptimizer(ArchitectureOptimizer):
    """Drives a Gaussian over logits by natural-gradient variational inference.

    Every step draws logits from the distribution, takes the gradient of the validation loss
    there, and updates mean and standard deviation. The distribution's ``log_sigma`` follows the
    curvature estimate; it is not trained by gradients.

    References:
        Zhang et al. 2022, "BaLeNAS", CVPR (abstract); the rule and the defaults of ``vadam``
        are those of the authors' released optimizer.
    """

    def __init__(
        self,
        options: NGVIOptions,
        *,
        distribution: GaussianDistribution,
        dataset_size: int,
        generator: Generator,
    ) -> None:
        lr, beta1, beta2, prior = DEFAULTS[options.variant]
        self._options = options
        self._distribution = distribution
        prior = options.prior_precision or prior
        self._ngvi = NGVI(
            list(distribution.mean.named_parameters()),
            lr=options.lr or lr,
            ess=float(options.ess or dataset_size),
            variant=options.variant,
            betas=(
                beta1 if options.beta1 is None else options.beta1,
                beta2 if options.beta2 is None else options.beta2,
            ),
            temperature=options.temperature,
            prior_precision=prior,
            initial_sigma=_initial_sigma(distribution, prior),
            clip_radius=math.inf if options.clip_radius is None else options.clip_radius,
            mc_samples=options.mc_samples,
            antithetic=options.antithetic,
            generator=generator,
        )
        self.set_progress(0.0)

    def set_length(self, steps: int) -> None:
        """Set what the options leave to the length of the search."""
        options = self._options
        if options.variant != "vadam":
            return
        lr, beta2 = length_dependent(steps, options.distance)
        for group in self._ngvi.param_groups:
            if options.lr is None:
                group["lr"] = lr
            if options.beta2 is None:
                group["betas"] = (group["betas"][0], beta2)

    def set_progress(self, fraction: float) -> None:
        """Set the temperature for the share of the search that is done."""
        start, end = self._options.temperature_start, self._options.temperature
        if start is None:
            return
        if self._options.temperature_schedule == "cosine":
            fraction = 0.5 - 0.5 * math.cos(math.pi * fraction)
        for group in self._ngvi.param_groups:
            group["temperature"] = start + (end - start) * fraction

    def draw_apart(self) -> Combination:
        """Average gradients and curvatures over the processes, each at draws of its own."""
        self._ngvi.sync_samples = True
        return "itself"

    def step(self, objective: Objective) -> float:
        """Make one update from ``mc_samples`` draws; return their mean loss."""
        total = 0.0
        try:
            for _ in range(self._options.mc_samples):
                self._ngvi.zero_grad(set_to_none=True)
                total += self._sample(objective)
            self._ngvi.step()
        finally:
            self._ngvi.discard_samples()
        self._publish_sigma()
        return total / self._options.mc_samples

    def _sample(self, objective: Objective) -> float:
        with self._ngvi.sampled_params():
            loss = objective(self._distribution.mean_weights())
            value = loss.item()
            if not math.isfinite(value):
                raise DivergenceError(f"the validation loss is {value}")
            loss.backward()
        return value

    @torch.no_grad()
    def _publish_sigma(self) -> None:
        for name, mean in self._distribution.mean.items():
            self._distribution.log_sigma[name].copy_(self._ngvi.posterior(mean).sigma.log())

    def state_dict(self) -> dict[str, Any]:
        """Return momentum, curvature, step counter and generator."""
        return self._ngvi.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self._ngvi.load_state_dict(state)

    def statistics(self) -> dict[str, float]:
        """Return KL(q || prior) in nats and the effective sample size over the temperature."""
        group = self._ngvi.param_groups[0]
        return {
            "kl": self._ngvi.kl().item(),
            "effective_sample_size": group["ess"] / group["temperature"],
        }


def _initial_sigma(distribution: GaussianDistribution, prior_precision: float) -> float:
    sigma = float(next(iter(distribution.log_sigma.values())).detach().double().exp().mean())
    of_prior = 1 / math.sqrt(prior_precision)
    # A start at the prior's own width must not miss it by the rounding of log_sigma.
    return of_prior if math.isclose(sigma, of_prior, rel_tol=PRIOR_TOLERANCE) else sigma


def status() -> dict[str, str]:
    """Return which back end serves on the CPU and on a GPU, and why."""
    native = native_status()
    return {
        "CPU": f"{native.cpu} ({native.cpu_reason})",
        "GPU": f"{native.cuda} ({native.cuda_reason})",
    }
