"""Optimizers of architecture distributions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, Protocol

from torch import Generator, Tensor
from torch.optim import SGD

from balenas_core.interfaces.distribution import ArchitectureDistribution
from balenas_core.interfaces.space import Supernet, Weights


class Objective(Protocol):
    """The validation loss of one architecture step, as a function of architecture weights.

    Every call uses the same validation batch; ``training_loss`` uses a training batch, for
    methods that look one weight step ahead.
    """

    supernet: Supernet
    weight_optimizer: SGD
    """What trains the supernet's weights; its step (without clipping) can be looked ahead."""

    def __call__(self, weights: Weights) -> Tensor:
        """Return the mean loss on the validation batch, a scalar."""

    def validation_loss(self, weights: Weights) -> Tensor:
        """Return the same loss, differentiable in the supernet's weights too."""

    def training_loss(self, weights: Weights) -> Tensor:
        """Return the mean loss on a training batch, differentiable in both."""

    def accuracy(self, weights: Weights) -> float:
        """Return the accuracy on the validation batch in percent, without a gradient."""

    def averaged(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return means over the processes that share the batches; of one process, the same.

        For gradients of the supernet's weights within a step. Those of the distribution's
        parameters, and the losses, are means already.
        """


Combination = Literal["refused", "gradients", "itself"]
"""How one update is made of the draws of several processes."""


class ArchitectureOptimizer(ABC):
    """Updates a distribution from validation losses.

    A plugin's implementation is called as ``Optimizer(options, distribution=...,
    dataset_size=..., generator=...)``, where ``dataset_size`` is the number of validation
    images (the effective sample size of a Bayesian method). Which distributions it can drive
    is declared by ``Plugin.needs``.
    """

    uses_supernet: bool = True
    """False for methods that learn nothing from a supernet; it is then not trained."""

    def set_length(self, steps: int) -> None:
        """Take note of the number of steps that the search makes at most, for step sizes.

        Called once, before anything else. The default does nothing.

        Args:
            steps: At least 1.
        """
        del steps

    def set_progress(self, fraction: float) -> None:
        """Take note of the share of the search that is done, in [0, 1], for schedules.

        Called before every epoch. The default does nothing.
        """
        del fraction

    def draw_apart(self) -> Combination:
        """Take note that each of several processes makes draws of its own in every step.

        Called at most once, before the first step, and never in a search of one process. What
        this optimizer draws then differs from process to process, by its generator.

        Returns:
            ``"refused"``, the default, where all must make the same draws, because the update
            depends on more than gradients: they will. ``"gradients"`` where it depends on draws
            by the gradients of the distribution's parameters alone: these are averaged over the
            processes. ``"itself"`` where the optimizer averages over the default process group
            of ``torch.distributed``, so that every process makes the same update.
        """
        return "refused"

    @abstractmethod
    def step(self, objective: Objective) -> float:
        """Make one update and return the (mean) loss that it saw.

        Raises:
            DivergenceError: The loss or a gradient is not finite; nothing was changed.
        """

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return everything needed to go on (tensors and plain data only)."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""

    def statistics(self) -> dict[str, float]:
        """Return what is worth recording each epoch, such as ``{"kl": 12.5}``."""
        return {}


class OptimizerFactory(Protocol):
    """Signature of an optimizer plugin's implementation."""

    def __call__(
        self,
        options: Any,
        *,
        distribution: ArchitectureDistribution,
        dataset_size: int,
        generator: Generator,
    ) -> ArchitectureOptimizer:
        """Build the optimizer."""
