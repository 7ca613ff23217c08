"""A few steps of a search, to see what they take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from balenas_core.engine._batches import SearchBatches
from balenas_core.engine.bilevel import BilevelLoop, Precision
from balenas_core.interfaces.proxy import Batch
from balenas_core.interfaces.space import Supernet
from balenas_core.scores.room import kept_by


@dataclass(slots=True)
class Trial:
    """Steps and evaluations of a search that is not to be gone on with.

    Args:
        loop: Makes steps.
        batches: The images.
        precision: Device and type.
        epochs: Epochs of the search; 0 where no supernet is trained.
    """

    loop: BilevelLoop
    batches: SearchBatches
    precision: Precision
    epochs: int
    _done: int = 0
    _training: Iterator[Batch] | None = None
    _validation: Iterator[Batch] | None = None

    @property
    def supernet(self) -> Supernet:
        """The supernet."""
        return self.loop.supernet

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch, with the batches that it has."""
        return self.batches.train.steps_per_epoch

    @property
    def evaluations(self) -> int:
        """Batches of an evaluation."""
        return self.batches.evaluation.steps_per_epoch

    def step(self) -> None:
        """Make an architecture step and a weight step, loading of the images included."""
        if self._training is None or self._validation is None:
            self._training = self.batches.train.endless()
            self._validation = self.batches.validation.endless()
        batch = next(self._training)
        self.loop.architecture_step(next(self._validation), batch, self._done)
        self.loop.weight_step(batch, self._done)
        self._done += 1

    def cost(self) -> tuple[int, int]:
        """Return the operations of a step, and the bytes that its forward passes keep at most.

        Operations are those of both passes of both steps, two for a multiply-add.
        """
        with FlopCounterMode(display=False) as counter:
            self.step()
        batch = self.precision.move(next(self.batches.train.iterate(0)))
        self._training = None
        with torch.no_grad():
            weights = self.loop.distribution.mean_weights()
        self.supernet.train()
        kept = kept_by(lambda: self.supernet(batch.images, weights), self.supernet.parameters())
        return int(counter.get_total_flops()), kept

    @torch.no_grad()
    def evaluate(self) -> None:
        """Measure one batch, as the evaluation after an epoch does."""
        batch = self.precision.move(next(self.batches.evaluation.iterate(0)))
        self.supernet.eval()
        with self.precision.autocast():
            self.supernet(batch.images, self.loop.distribution.mean_weights())
