"""Accuracies on the validation half."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from balenas_core.engine._batches import SearchBatches
from balenas_core.engine.bilevel import Precision, Running, evaluated, evaluation
from balenas_core.engine.processes import Processes
from balenas_core.interfaces.proxy import Batch
from balenas_core.interfaces.selection import Division
from balenas_core.interfaces.space import Supernet, Weights

RECALIBRATION_BATCHES = 20


class Measuring:
    """Measures networks on the images of a search.

    Args:
        batches: The images.
        precision: Device and type.
        stop_if_asked: Called between batches; raises where the search is to stop.
        processes: Those that share the learning.
    """

    def __init__(
        self,
        batches: SearchBatches,
        precision: Precision,
        stop_if_asked: Callable[[], None],
        processes: Processes,
    ) -> None:
        self._processes = processes
        self.precision = precision
        self._batches = batches
        self._stop_if_asked = stop_if_asked

    def __getstate__(self) -> dict[str, Any]:
        # Another process is ended by who started it.
        return {**self.__dict__, "_stop_if_asked": _go_on}

    def accuracy(self, network: nn.Module) -> float:
        """Return the accuracy of a network in percent."""
        return self._evaluation(network)[1]

    def supernet_accuracy(self, supernet: Supernet, weights: Weights) -> float:
        """Return the accuracy of a supernet at architecture weights, in percent.

        All processes call it, and share the batches.
        """
        network = _AtWeights(supernet, weights)
        if self._processes.count == 1:
            return self.accuracy(network)
        # Running statistics that are not synchronised are of each process's own images; the
        # first process's are saved.
        self._processes.unify(supernet.buffers())
        sums = evaluated(network, self._batches.shared_evaluation.iterate(0), self.precision)
        numbers = (sums.loss, sums.correct, sums.images)
        device = self.precision.device
        kind = torch.float32 if device.type == "mps" else torch.float64
        summed = self._processes.sums(torch.tensor(numbers, dtype=kind, device=device)).tolist()
        accuracy = Running(summed[0], int(summed[1]), int(summed[2])).accuracy
        assert accuracy is not None, "a validation part has at least one batch"
        return accuracy

    def recalibrated_accuracy(self, network: nn.Module) -> float:
        """Return the accuracy of a network after its normalisation has seen training batches.

        The supernet's running statistics are those of the mixture; one architecture alone has
        others, and without its own an inherited network guesses.
        """
        self._recalibrate(network)
        return self._evaluation(network)[1]

    def recalibrated_loss(self, network: nn.Module) -> float:
        """Return the mean loss of a network, measured in the same way."""
        self._recalibrate(network)
        return self._evaluation(network)[0]

    def divided(self, fraction: float, batch_size: int, seed: int) -> Division:
        """Return batches of all images, of which another part is held out for every seed."""
        train, held_out = self._batches.divided(fraction, batch_size, seed)
        return Division(
            training=lambda epoch: self._moved(train.iterate(epoch)),
            validation=lambda: self._moved(held_out.iterate(0)),
            steps=train.steps_per_epoch,
        )

    def first_batch(self) -> Batch:
        """Return the first batch of the validation half, where it was loaded."""
        return next(self._batches.evaluation.iterate(0))

    def training_batches(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of the training half in an epoch, on the device."""
        return self._moved(self._batches.whole_train.iterate(epoch))

    def validation_batches(self) -> Iterator[Batch]:
        """Yield the batches of the validation half, on the device."""
        return self._moved(self._batches.evaluation.iterate(0))

    def _recalibrate(self, network: nn.Module) -> None:
        batches = itertools.islice(self._batches.whole_train.iterate(0), RECALIBRATION_BATCHES)
        update_bn((self.precision.move(batch).images for batch in batches), network)

    def _evaluation(self, network: nn.Module) -> tuple[float, float]:
        """Return mean loss and accuracy in percent."""
        batches = self._interruptible(self._batches.evaluation.iterate(0))
        return evaluation(network, batches, self.precision)

    def _moved(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        return map(self.precision.move, self._interruptible(batches))

    def _interruptible(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        for batch in batches:
            self._stop_if_asked()
            yield batch


def _go_on() -> None:
    pass


class _AtWeights(nn.Module):
    """A supernet at fixed architecture weights, as an ordinary network."""

    def __init__(self, supernet: nn.Module, weights: Weights) -> None:
        super().__init__()
        self._supernet = supernet
        self._weights = weights

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = self._supernet(x, self._weights)
        assert isinstance(logits, torch.Tensor)
        return logits
