"""REINFORCE on discrete architectures."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator

from balenas_core import ArchitectureDistribution, ArchitectureOptimizer, Objective, Weights
from balenas_core.interfaces.distribution import DiscreteDistribution
from balenas_optimizer_baselines._descent import check_loss, checked_step, make_adam
from balenas_optimizer_baselines._options import ReinforceOptions


class ReinforceOptimizer(ArchitectureOptimizer):
    """Raises the log-probability of draws that are better than a moving mean of rewards.

    Each step draws one-hot architectures and evaluates them in the supernet without a
    gradient; the update follows (reward - baseline) * grad log q(draw), plus
    ``entropy_weight`` times the gradient of the entropy.

    References:
        Williams 1992, "Simple Statistical Gradient-Following Algorithms", Machine Learning,
        section 4. Zoph and Le 2017, "Neural Architecture Search with Reinforcement Learning",
        ICLR (moving-mean baseline). Deviations: independent categoricals in
        place of a recurrent controller; rewards come from shared weights.
    """

    def __init__(
        self,
        options: ReinforceOptions,
        *,
        distribution: ArchitectureDistribution,
        dataset_size: int,
        generator: Generator,
    ) -> None:
        del dataset_size
        if not isinstance(distribution, DiscreteDistribution):
            raise TypeError(
                f"reinforce needs a distribution with discrete draws, such as 'point' or "
                f"'gumbel_softmax', got {type(distribution).__name__}"
            )
        self._options = options
        self._distribution = distribution
        self._generator = generator
        self._baseline: float | None = None
        self._adam = make_adam(distribution, lr=options.lr, betas=(options.beta1, options.beta2))

    def step(self, objective: Objective) -> float:
        """Make one update and return the mean loss of the draws."""
        self._adam.zero_grad(set_to_none=True)
        draws = [self._distribution.sample(self._generator) for _ in range(self._options.samples)]
        losses = [_loss(objective, draw) for draw in draws]
        rewards = [self._reward(objective, d, v) for d, v in zip(draws, losses, strict=True)]
        mean = sum(rewards) / len(rewards)
        # The baseline must not depend on the draws it judges, or the gradient is biased.
        baseline = mean if self._baseline is None else self._baseline
        surrogate = -self._options.entropy_weight * self._distribution.entropy()
        for draw, reward in zip(draws, rewards, strict=True):
            advantage = (reward - baseline) / len(draws)
            surrogate = surrogate - advantage * self._distribution.log_prob(draw)
        surrogate.backward()
        checked_step(self._adam, self._distribution)
        decay = self._options.baseline_decay
        self._baseline = decay * baseline + (1 - decay) * mean
        return sum(losses) / len(losses)

    def _reward(self, objective: Objective, draw: Weights, loss: float) -> float:
        if self._options.reward == "loss":
            return -loss
        return objective.accuracy(draw) / 100.0

    def statistics(self) -> dict[str, float]:
        """Return the moving mean of rewards; nothing before the first step."""
        return {} if self._baseline is None else {"reward_baseline": self._baseline}

    def state_dict(self) -> dict[str, Any]:
        """Return Adam's moments, the baseline and the state of the generator."""
        return {
            "adam": self._adam.state_dict(),
            "baseline": self._baseline,
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self._adam.load_state_dict(state["adam"])
        self._baseline = state["baseline"]
        self._generator.set_state(state["generator"].cpu())


@torch.no_grad()
def _loss(objective: Objective, draw: Weights) -> float:
    value = objective(draw).item()
    check_loss(value)
    return value
