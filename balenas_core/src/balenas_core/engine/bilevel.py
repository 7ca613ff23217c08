"""The bilevel loop: one architecture step, one weight step, again and again."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LRScheduler

from balenas_core.config import CurvatureConfig, PerturbationConfig, TrainingConfig
from balenas_core.engine._shared_step import SharedStep
from balenas_core.engine.curvature import Curvature, curvature
from balenas_core.engine.modifiers import perturbation_radius, perturbed
from balenas_core.errors import DivergenceError, UnfitError
from balenas_core.interfaces.distribution import ArchitectureDistribution
from balenas_core.interfaces.optimizer import ArchitectureOptimizer
from balenas_core.interfaces.proxy import Batch
from balenas_core.interfaces.space import Supernet, Weights


@dataclass(frozen=True, slots=True)
class Precision:
    """Where and in which floating-point type a search computes.

    float64 converts the networks; bfloat16 keeps float32 weights and autocasts.
    """

    device: torch.device
    dtype: torch.dtype

    @property
    def storage(self) -> torch.dtype:
        """Type of weights and images."""
        return torch.float32 if self.dtype is torch.bfloat16 else self.dtype

    def autocast(self) -> torch.autocast:
        """Return the context in which forward passes run."""
        return torch.autocast(
            self.device.type, dtype=torch.bfloat16, enabled=self.dtype is torch.bfloat16
        )

    def move(self, batch: Batch) -> Batch:
        """Return the batch on this device, in this type."""
        return Batch(
            batch.images.to(self.device, self.storage, non_blocking=True),
            batch.labels.to(self.device, non_blocking=True),
        )


class BatchObjective:
    """The loss on one validation batch, and on the training batch of the same step."""

    def __init__(
        self,
        supernet: Supernet,
        validation: Batch,
        training: Batch,
        precision: Precision,
        weight_optimizer: torch.optim.SGD,
        shared: SharedStep,
    ) -> None:
        self.supernet = supernet
        self.weight_optimizer = weight_optimizer
        self._shared = shared
        self._validation = validation
        self._training = training
        self._precision = precision

    def __call__(self, weights: Weights) -> Tensor:
        """Return the validation loss, differentiable in ``weights`` only."""
        # The architecture step needs no gradient of the network's weights: leaving them out
        # saves about a third of the backward pass.
        with _frozen(self.supernet):
            return self._loss(weights, self._validation)

    def validation_loss(self, weights: Weights) -> Tensor:
        """Return the validation loss, differentiable in ``weights`` and the network's weights."""
        return self._loss(weights, self._validation)

    def training_loss(self, weights: Weights) -> Tensor:
        """Return the training loss, differentiable in ``weights`` and the network's weights."""
        return self._loss(weights, self._training)

    @torch.no_grad()
    def accuracy(self, weights: Weights) -> float:
        """Return the accuracy on the validation batch in percent."""
        labels = self._validation.labels
        correct = (self._logits(weights, self._validation).argmax(-1) == labels).sum()
        (share,) = self._shared.processes.averaged([correct.double() / len(labels)])
        return 100.0 * share.item()

    def averaged(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return means over the processes that share the batch."""
        return self._shared.processes.averaged(tensors)

    def _loss(self, weights: Weights, batch: Batch) -> Tensor:
        loss = F.cross_entropy(self._logits(weights, batch), batch.labels)
        return self._shared.mean_loss(loss)

    def _logits(self, weights: Weights, batch: Batch) -> Tensor:
        with self._precision.autocast():
            logits: Tensor = self.supernet(batch.images, weights)
        return logits.to(self._precision.storage)


@dataclass(slots=True)
class Running:
    """Sums over an epoch, for its means."""

    loss: float = 0.0
    correct: int = 0
    images: int = 0

    def add(self, loss: float, correct: int, images: int) -> None:
        """Add one batch."""
        self.loss += loss * images
        self.correct += correct
        self.images += images

    @property
    def mean_loss(self) -> float | None:
        """Mean loss per image; None before the first batch."""
        return self.loss / self.images if self.images else None

    @property
    def accuracy(self) -> float | None:
        """Accuracy in percent; None before the first batch."""
        return 100.0 * self.correct / self.images if self.images else None


@dataclass(frozen=True, slots=True)
class Step:
    """What a weight step saw, over all processes.

    Args:
        loss: Mean loss.
        correct: Images that were classified as they should be.
        images: Images of the batch.
        is_stop_requested: Whether any process wants to stop.
    """

    loss: float
    correct: int
    images: int
    is_stop_requested: bool


class BilevelLoop:
    """Trains a supernet's weights and an architecture distribution in turn.

    Args:
        supernet: On its device.
        distribution: On the same device.
        optimizer: Drives the distribution.
        training: Settings of the weight optimizer.
        precision: Device and type.
        generator: For weight steps at a sample of the distribution, or at perturbed weights.
        shared: What the processes that share the steps exchange.
        optimizer_generator: What the optimizer draws from.
        perturbation: Noise on the architecture weights of weight steps.

    References:
        Liu et al. 2019, "DARTS", ICLR, algorithm 1 with xi = 0 (first order).
    """

    def __init__(
        self,
        supernet: Supernet,
        distribution: ArchitectureDistribution,
        optimizer: ArchitectureOptimizer,
        *,
        training: TrainingConfig,
        precision: Precision,
        generator: Generator,
        shared: SharedStep,
        optimizer_generator: Generator,
        perturbation: PerturbationConfig | None = None,
    ) -> None:
        self._shared = shared
        self._optimizer_generator = optimizer_generator
        self.supernet = supernet
        self.distribution = distribution
        self.optimizer = optimizer
        self._training = training
        self._precision = precision
        self._generator = generator
        self._perturbation = perturbation
        self._fraction = 0.0
        self._sgd = torch.optim.SGD(
            supernet.parameters(),
            lr=training.lr,
            momentum=training.momentum,
            nesterov=training.nesterov,
            weight_decay=training.weight_decay,
        )
        self._scheduler = _scheduler(self._sgd, training)

    @property
    def lr(self) -> float:
        """Current learning rate of the network's weights."""
        return float(self._sgd.param_groups[0]["lr"])

    def set_progress(self, fraction: float) -> None:
        """Move every schedule of the architecture side: 0 in the first epoch, 1 in the last."""
        self._fraction = fraction
        self.distribution.set_progress(fraction)
        self.optimizer.set_progress(fraction)

    def architecture_step(self, validation: Batch, training: Batch, step: int) -> float:
        """Update the distribution and return the validation loss that it saw.

        Args:
            validation: This process's share of a validation batch.
            training: Its share of the training batch of the same step.
            step: Number of the step in the whole search.

        Raises:
            DivergenceError: The loss or a gradient is not finite.
        """
        self.supernet.train()
        objective = BatchObjective(
            self.supernet,
            self._precision.move(validation),
            self._precision.move(training),
            self._precision,
            self._sgd,
            self._shared,
        )
        self._shared.begin_step("optimizer", step, self._optimizer_generator)
        with self._shared.of_architecture():
            loss: object = self.optimizer.step(objective)
        if not isinstance(loss, int | float):
            raise UnfitError(
                "optimizer",
                f"step() must return the loss as a number; it returned {type(loss).__name__}",
            )
        loss = self._shared.reported_loss(loss)
        if not math.isfinite(loss):
            raise DivergenceError(f"the validation loss is {loss}")
        return loss

    def weight_step(self, training: Batch, step: int, *, stop: bool = False) -> Step:
        """Update the network's weights, and return what was seen.

        Args:
            training: This process's share of a training batch.
            step: Number of the step in the whole search.
            stop: Whether this process wants to stop.

        Raises:
            DivergenceError: The loss or a gradient is not finite; nothing was changed.
        """
        self.supernet.train()
        batch = self._precision.move(training)
        self._shared.begin_step("weights", step, self._generator)
        weights = self._weights_of_weight_step()
        with self._precision.autocast():
            logits = self._shared.forward(batch.images, weights)
        logits = logits.to(self._precision.storage)
        loss = F.cross_entropy(logits, batch.labels)
        self._sgd.zero_grad(set_to_none=True)
        loss.backward()
        # After the exchange of gradients nobody waits for this one.
        seen = self._seen(loss.detach(), logits.detach(), batch, stop=stop)
        if not math.isfinite(seen.loss):
            raise DivergenceError(f"the training loss is {seen.loss}")
        clip = math.inf if self._training.clip is None else self._training.clip
        norm = nn.utils.clip_grad_norm_(self.supernet.parameters(), clip).item()
        if not math.isfinite(norm):
            raise DivergenceError(f"the gradient norm of the network's weights is {norm}")
        self._sgd.step()
        return seen

    def _seen(self, loss: Tensor, logits: Tensor, batch: Batch, *, stop: bool) -> Step:
        """Return what all processes saw, which each of them must know before it goes on."""
        correct = (logits.argmax(-1) == batch.labels).sum()
        count = self._shared.processes.count
        if count == 1:
            return Step(loss.item(), int(correct.item()), len(batch.labels), stop)
        sums = torch.stack((loss.double(), correct.double(), loss.new_tensor(stop).double()))
        loss_sum, correct_sum, stops = self._shared.processes.sums(sums).tolist()
        return Step(loss_sum / count, int(correct_sum), len(batch.labels) * count, stops > 0)

    @torch.no_grad()
    def _weights_of_weight_step(self) -> Weights:
        weights = (
            self.distribution.mean_weights()
            if self._training.weights_at == "mean"
            else self.distribution.weights(self._generator)
        )
        if self._perturbation is None:
            return weights
        radius = perturbation_radius(self._perturbation, self._fraction)
        return perturbed(weights, radius, self._generator)

    def curvature(
        self, validation: Batch, config: CurvatureConfig, generator: Generator
    ) -> Curvature:
        """Return the curvature of the validation loss in the parameters of the mean weights.

        The supernet is in evaluation mode, so that nothing in it changes.
        """
        batch = self._precision.move(validation)
        was_training = self.supernet.training
        self.supernet.eval()
        try:
            with _frozen(self.supernet), self._precision.autocast():
                logits = self.supernet(batch.images, self.distribution.mean_weights())
            return curvature(
                F.cross_entropy(logits.to(self._precision.storage), batch.labels),
                list(self.distribution.parameters()),
                generator=generator,
                iterations=config.iterations,
                samples=config.samples,
            )
        finally:
            self.supernet.train(was_training)

    def end_epoch(self) -> None:
        """Advance the learning-rate schedule."""
        with warnings.catch_warnings():
            # Right after a resume torch cannot know that the optimizer made steps before.
            warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
            self._scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """Return everything the loop changes, as tensors and plain data."""
        return {
            "supernet": self.supernet.state_dict(),
            "distribution": self.distribution.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "sgd": self._sgd.state_dict(),
            "scheduler": self._scheduler.state_dict(),
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self.supernet.load_state_dict(state["supernet"])
        self.distribution.load_state_dict(state["distribution"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._sgd.load_state_dict(state["sgd"])
        self._scheduler.load_state_dict(state["scheduler"])
        self._generator.set_state(state["generator"].cpu())


def _scheduler(sgd: torch.optim.SGD, training: TrainingConfig) -> LRScheduler:
    if training.schedule == "constant":
        return ConstantLR(sgd, factor=1.0)
    return CosineAnnealingLR(sgd, T_max=training.epochs, eta_min=training.lr_min)


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    trainable = [p for p in module.parameters() if p.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)


@torch.no_grad()
def evaluation(
    network: nn.Module, batches: Iterator[Batch], precision: Precision
) -> tuple[float, float]:
    """Return mean loss and accuracy in percent of a network, in evaluation mode."""
    running = evaluated(network, batches, precision)
    loss_mean, accuracy = running.mean_loss, running.accuracy
    assert loss_mean is not None, "a validation part has at least one batch"
    assert accuracy is not None, "a validation part has at least one batch"
    return loss_mean, accuracy


@torch.no_grad()
def evaluated(network: nn.Module, batches: Iterator[Batch], precision: Precision) -> Running:
    """Return the sums of loss and of correct images of a network, in evaluation mode."""
    was_training = network.training
    network.eval()
    running = Running()
    try:
        for batch in batches:
            moved = precision.move(batch)
            with precision.autocast():
                logits = network(moved.images)
            loss = F.cross_entropy(logits.to(precision.storage), moved.labels)
            correct = (logits.argmax(-1) == moved.labels).sum()
            running.add(loss.item(), int(correct.item()), len(moved.labels))
    finally:
        network.train(was_training)
    return running
