"""Changes of a search that go with any space, distribution and optimizer."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from balenas_core.config import EarlyStoppingConfig, PerturbationConfig
from balenas_core.errors import UsageError
from balenas_core.interfaces.distribution import ArchitectureDistribution
from balenas_core.interfaces.space import A, AnySpace, Decision, SearchSpace, Weights
from balenas_core.plugins.suggest import did_you_mean

# Below every weight, zeros included.
_STRUCK = -1.0

_Slot = tuple[str, int, int]
"""A decision, a row and a column of its table."""


def perturbation_radius(config: PerturbationConfig, fraction: float) -> float:
    """Return the radius at a fraction of the search, between start and end."""
    return config.start + (config.end - config.start) * fraction


@torch.no_grad()
def perturbed(weights: Weights, radius: float, generator: Generator) -> dict[str, Tensor]:
    """Return weights with uniform noise in [-radius, radius], back on the simplex.

    The distribution itself never sees the noise. Exact zeros stay zero, so that operations
    which need not run still need not.

    References:
        Chen and Hsieh 2020, "Stabilizing Differentiable Architecture Search via
        Perturbation-based Regularization", ICML, and released code: noise on the
        softmax weights, clamped to [0, 1], rows divided by their sum. Deviation: a row whose
        every weight is clamped away stays as it was, instead of keeping its largest only.
    """
    return {name: _perturbed(value, radius, generator) for name, value in weights.items()}


def _perturbed(weights: Tensor, radius: float, generator: Generator) -> Tensor:
    # Noise is drawn on the CPU, so that a seed gives one draw on every device.
    uniform = torch.rand(weights.shape, generator=generator, dtype=weights.dtype)
    noise = radius * (2 * uniform - 1).to(weights.device)
    moved = torch.where(weights == 0, 0.0, (weights + noise).clamp(0, 1))
    total = moved.sum(-1, keepdim=True)
    is_empty = total == 0
    return torch.where(is_empty, weights, moved / torch.where(is_empty, 1.0, total))


class EarlyStopping:
    """Watches the top eigenvalue and remembers the distributions of the last epochs.

    The search stops when mean(values of the window before) / mean(values of this window) is
    less than the ratio, and goes back to the distribution at the end of the window before.

    References:
        Zela et al. 2020, "Understanding and Robustifying Differentiable Architecture Search",
        ICLR (DARTS-ES).
    """

    def __init__(self, config: EarlyStoppingConfig) -> None:
        self._config = config
        self._eigenvalues: list[float] = []
        self._states: deque[dict[str, Tensor]] = deque(maxlen=config.window + 1)
        self.has_stopped = False

    def update(self, eigenvalue: float, distribution: ArchitectureDistribution) -> None:
        """Add an epoch; where the search must stop, give the distribution its earlier state."""
        self._eigenvalues.append(eigenvalue)
        state = {name: value.clone() for name, value in distribution.state_dict().items()}
        self._states.append(state)
        if has_risen(self._eigenvalues, self._config.window, self._config.ratio):
            self.has_stopped = True
            distribution.load_state_dict(self._states[0])

    def state_dict(self) -> dict[str, Any]:
        """Return what was seen, as tensors and plain data."""
        return {
            "eigenvalues": list(self._eigenvalues),
            "states": list(self._states),
            "has_stopped": self.has_stopped,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self._eigenvalues = list(state["eigenvalues"])
        self._states = deque(state["states"], maxlen=self._config.window + 1)
        self.has_stopped = state["has_stopped"]


def has_risen(eigenvalues: Sequence[float], window: int, ratio: float) -> bool:
    """Whether the mean of the window before the last is less than ``ratio`` of the last.

    Example:
        >>> has_risen([1.0, 1.0, 1.3, 1.3], window=2, ratio=0.75)
        False
        >>> has_risen([1.0, 1.0, 1.4, 1.4], window=2, ratio=0.75)
        True
    """
    if len(eigenvalues) < 2 * window:
        return False
    before = sum(eigenvalues[-2 * window : -window])
    return before < ratio * sum(eigenvalues[-window:])


class LimitedDistribution(ArchitectureDistribution):
    """A view of a distribution whose discrete architectures respect limits.

    While a discretised architecture has a choice more often than its limit in a cell, the slot
    that has it with the smallest weight may not have it, and discretisation is repeated. A cell
    is a table of decisions, or the tables of one group. Only the architectures are limited; the
    distribution is as it was learned.

    Args:
        distribution: The learned distribution.
        space: Its search space.
        limits: Choice -> largest number in each cell.

    References:
        Chen et al. 2019, "P-DARTS", ICCV (at most two skip connections).
        Deviation: the limit holds for every cell, not for the normal cell alone.

    Raises:
        UsageError: No decision has such a choice.
    """

    def __init__(
        self, distribution: ArchitectureDistribution, space: AnySpace, limits: Mapping[str, int]
    ) -> None:
        super().__init__(distribution.decisions)
        _check_limits(limits, self.decisions)
        self._distribution = distribution
        self._space = space
        self._limits = dict(limits)
        self._cells = _cells(self.decisions)

    def weights(self, generator: Generator) -> Weights:
        """Return the distribution's relaxed draw."""
        return self._distribution.weights(generator)

    def mean_weights(self) -> Weights:
        """Return the distribution's mean weights, without what is over the limits."""
        return self._within_limits(self._distribution.mean_weights())

    def draw_weights(self, generator: Generator) -> Weights:
        """Return one draw's weights, without what is over the limits."""
        return self._within_limits(self._distribution.draw_weights(generator))

    def entropy(self) -> Tensor:
        """Return the distribution's entropy."""
        return self._distribution.entropy()

    def allows(self, space: SearchSpace[A], architecture: A) -> bool:
        """Whether an architecture keeps the limits."""
        return not self._over_limits(space.one_hot(architecture))

    @torch.no_grad()
    def _within_limits(self, weights: Weights) -> Weights:
        allowed = {name: value.clone() for name, value in weights.items()}
        for _ in range(sum(value.numel() for value in allowed.values()) + 1):
            chosen = self._space.one_hot(self._space.discretize(allowed))
            over = self._over_limits(chosen)
            if not over:
                return allowed
            for slots in over:
                name, row, column = min(slots, key=lambda slot: allowed[slot[0]][slot[1:]].item())
                allowed[name][row, column] = _STRUCK
        raise UsageError(
            f"modifiers.limits {self._limits} cannot be met in every cell; "
            f"raise them, or leave out a choice."
        )

    def _over_limits(self, chosen: Weights) -> list[list[_Slot]]:
        """Return, for every choice that a cell makes too often, the slots that make it."""
        found = []
        for cell in self._cells:
            for choice, limit in self._limits.items():
                slots = [slot for decision in cell for slot in _slots(decision, choice, chosen)]
                if len(slots) > limit:
                    found.append(slots)
        return found


def _cells(decisions: Sequence[Decision]) -> list[list[Decision]]:
    """Return the decisions of each cell."""
    cells: dict[str, list[Decision]] = {}
    for decision in decisions:
        cells.setdefault(decision.group or decision.name, []).append(decision)
    return list(cells.values())


def _slots(decision: Decision, choice: str, chosen: Weights) -> list[_Slot]:
    """Return the slots of a table that have a choice."""
    if choice not in decision.choices:
        return []
    column = decision.choices.index(choice)
    rows = chosen[decision.name][:, column].nonzero().flatten().tolist()
    return [(decision.name, row, column) for row in rows]


def _check_limits(limits: Mapping[str, int], decisions: Sequence[Decision]) -> None:
    known = list(dict.fromkeys(choice for d in decisions for choice in d.choices))
    for choice in limits:
        if choice not in known:
            raise UsageError(
                f"modifiers.limits: no decision of this search space has the choice {choice!r}."
                f"{did_you_mean(choice, known)} Choices: {', '.join(known)}."
            )
