"""Natural-gradient variational inference of categorical choices."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor

from balenas_core import ArchitectureOptimizer, Objective
from balenas_core.distributions import GumbelSoftmaxDistribution
from balenas_core.errors import DivergenceError
from balenas_core.interfaces.optimizer import Combination
from balenas_optimizer_ngvi._config import CategoricalOptions


def natural_gradient(gradient: Tensor, probabilities: Tensor) -> Tensor:
    """Return the gradient with respect to the mean parameters, from that of the logits.

    The Fisher matrix of a categorical, F = diag(p) - p p^T, links both: dL/dlogits = F dL/dp.
    Because the rows of dL/dlogits sum to zero, dL/dp = dL/dlogits / p solves it; it is unique
    up to a constant per row, which softmax ignores. Rows are returned with p-mean zero.

    Args:
        gradient: `slots x choices`-dim gradient of the logits.
        probabilities: `slots x choices`-dim softmax of the logits, positive.

    References:
        Khan and Rue 2023, "The Bayesian Learning Rule", JMLR.
    """
    return (gradient - probabilities * gradient.sum(-1, keepdim=True)) / probabilities


def updated_logits(logits: Tensor, momentum: Tensor, *, lr: float, shrinkage: float) -> Tensor:
    """Return the logits after a step: logits - lr * (momentum + shrinkage * logits).

    With ``shrinkage`` = temperature / ess the fixed point is the Boltzmann distribution
    logits = -(ess / temperature) * dL/dp, the minimiser of
    ess * E_q[L] + temperature * KL(q || uniform) where L is linear in the choices.
    Where the distribution adds an offset, these are the deviations from it, and softmax(offset)
    takes the place of the uniform distribution.
    """
    return logits - lr * (momentum + shrinkage * logits)


def _step_size(steps: int) -> float:
    """Return 0.1 in a search of up to 3,136 steps, and the same noise of the logits in longer ones.

    Steps whose gradients are noise leave one of size lr * sqrt(steps) behind. Shorter searches
    make no larger steps: the weights of their supernets are too young to be believed.
    """
    return 0.1 * math.sqrt(_REFERENCE_STEPS / max(steps, _REFERENCE_STEPS))


class CategoricalNGVIOptimizer(ArchitectureOptimizer):
    """Drives one categorical per slot by the Bayesian learning rule.

    The gradient of the expected loss is taken through a Gumbel-softmax draw, turned into the
    natural gradient, averaged over steps, and applied to the logits, which are the natural
    parameters of the categorical.

    References:
        Meng, Bachmann and Khan 2020, "Training Binary Neural Networks using the Bayesian
        Learning Rule" (BayesBiNN), ICML, for two choices. Deviations: any number of choices;
        the step size is divided by the effective sample size; momentum, debiasing and a clip
        radius as in the Gaussian variants.
    """

    def __init__(
        self,
        options: CategoricalOptions,
        *,
        distribution: GumbelSoftmaxDistribution,
        dataset_size: int,
        generator: Generator,
    ) -> None:
        self._options = options
        self._distribution = distribution
        self._generator = generator
        self._shrinkage = options.temperature / float(options.ess or dataset_size)
        self._momentum = {
            name: torch.zeros_like(logits) for name, logits in distribution.logits.items()
        }
        self._steps = 0
        self._lr = options.lr or _step_size(_REFERENCE_STEPS)

    def set_length(self, steps: int) -> None:
        """Set the step size, where the options leave it to the length of the search."""
        self._lr = self._options.lr or _step_size(steps)

    def draw_apart(self) -> Combination:
        """Learn from the mean gradient of all processes' draws."""
        return "gradients"

    def step(self, objective: Objective) -> float:
        """Make one update from ``mc_samples`` relaxed draws; return their mean loss."""
        logits = self._distribution.logits
        total = 0.0
        self._distribution.zero_grad(set_to_none=True)
        for _ in range(self._options.mc_samples):
            loss = objective(self._distribution.weights(self._generator))
            value = loss.item()
            if not math.isfinite(value):
                raise DivergenceError(f"the validation loss is {value}")
            (loss / self._options.mc_samples).backward()
            total += value
        for name, parameter in logits.items():
            if parameter.grad is None or not parameter.grad.isfinite().all():
                raise DivergenceError(f"the gradient of logits {name!r} is not finite")
        self._steps += 1
        self._update()
        return total / self._options.mc_samples

    @torch.no_grad()
    def _update(self) -> None:
        options = self._options
        radius = math.inf if options.clip_radius is None else options.clip_radius
        debias = 1 - options.beta1**self._steps
        weights = self._distribution.mean_weights()
        for name, parameter in self._distribution.logits.items():
            assert parameter.grad is not None
            probabilities = weights[name].clamp_min(_SMALLEST)
            natural = natural_gradient(parameter.grad, probabilities).clamp(-radius, radius)
            momentum = self._momentum[name].to(parameter).lerp(natural, 1 - options.beta1)
            self._momentum[name] = momentum
            parameter.copy_(
                updated_logits(parameter, momentum / debias, lr=self._lr, shrinkage=self._shrinkage)
            )

    def state_dict(self) -> dict[str, Any]:
        """Return momentum, step counter and generator."""
        return {
            "momentum": {name: value.clone() for name, value in self._momentum.items()},
            "steps": self._steps,
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self._momentum = {name: value.clone() for name, value in state["momentum"].items()}
        self._steps = state["steps"]
        self._generator.set_state(state["generator"].cpu())

    @torch.no_grad()
    def statistics(self) -> dict[str, float]:
        """Return KL(q || prior) in nats and the effective sample size over the temperature.

        The prior is uniform, or softmax(offset) of a distribution with an offset.
        """
        uniform = sum(
            logits.shape[0] * math.log(logits.shape[1])
            for logits in self._distribution.logits.values()
        )
        return {
            "kl": uniform
            - self._distribution.entropy().item()
            - self._distribution.prior_log_ratio().item(),
            "effective_sample_size": 1 / self._shrinkage,
        }


# Keeps 1 / p finite in float32; far below any probability that still influences a search.
_SMALLEST = 1e-12

_REFERENCE_STEPS = 3136
