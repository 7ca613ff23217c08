"""Natural-gradient variational inference of categorical choices."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor

from balenas_core import ArchitectureOptimizer, Objective
from balenas_core.distributions import GumbelSoftmaxDistribution
from balenas_core.errors import DivergenceError
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
    """
    return logits - lr * (momentum + shrinkage * logits)


def length_dependent(steps: int) -> tuple[float, float]:
    """Return effective sample size and step size of a search of so many steps.

    The learning rule with step rho moves natural parameters by -rho * (parameters - target), so
    that rho = 3 / steps forgets all but exp(-3) of the start, when operations with weights were
    not trained yet and those without any looked best. In terms of ``updated_logits`` it is
    lr = rho * ess. Gradients are noisy, and what their noise leaves in a logit grows as
    ess / sqrt(steps): ess = 4.6 * sqrt(steps) keeps it the same in searches of every length.

    Example:
        >>> length_dependent(900)
        (138.0, 0.46)
    """
    ess = _ESS * math.sqrt(steps)
    return ess, ess * min(1.0, _FORGOTTEN / steps)


class CategoricalNGVIOptimizer(ArchitectureOptimizer):
    """Drives one categorical per slot by the Bayesian learning rule.

    The gradient of the expected loss is taken through a Gumbel-softmax draw, turned into the
    natural gradient, averaged over steps, and applied to the logits, which are the natural
    parameters of the categorical.

    The effective sample size, and with it the step, grows over the search: see ``ess_start``.

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
        self._ess = float(options.ess or dataset_size)
        self._momentum = {
            name: torch.zeros_like(logits) for name, logits in distribution.logits.items()
        }
        self._steps = 0
        self._lr = options.lr or _LR
        self._share = 1.0

    def set_length(self, steps: int) -> None:
        """Set what the options leave to the length of the search."""
        ess, _ = length_dependent(steps)
        self._ess = float(self._options.ess or ess)
        self._lr = self._options.lr or self._ess * min(1.0, _FORGOTTEN / steps)

    def set_progress(self, fraction: float) -> None:
        """Set the share of the effective sample size that counts at this point of the search."""
        start = self._options.ess_start
        self._share = start + (1.0 - start) * fraction

    @property
    def _shrinkage(self) -> float:
        return self._options.temperature / (self._share * self._ess)

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
        debias, lr = 1 - options.beta1**self._steps, self._share * self._lr
        for name, parameter in self._distribution.logits.items():
            assert parameter.grad is not None
            probabilities = torch.softmax(parameter, dim=-1).clamp_min(_SMALLEST)
            natural = natural_gradient(parameter.grad, probabilities).clamp(-radius, radius)
            momentum = self._momentum[name].to(parameter).lerp(natural, 1 - options.beta1)
            self._momentum[name] = momentum
            direction = momentum / debias
            parameter.copy_(updated_logits(parameter, direction, lr=lr, shrinkage=self._shrinkage))

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
        """Return KL(q || uniform) in nats and the effective sample size over the temperature."""
        uniform = sum(
            logits.shape[0] * math.log(logits.shape[1])
            for logits in self._distribution.logits.values()
        )
        return {
            "kl": uniform - self._distribution.entropy().item(),
            "effective_sample_size": 1 / self._shrinkage,
        }


# Keeps 1 / p finite in float32; far below any probability that still influences a search.
_SMALLEST = 1e-12

_ESS = 4.6
_FORGOTTEN = 3.0
_LR = 0.1
