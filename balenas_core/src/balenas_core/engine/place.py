"""Where a search is, beside the state of its loop."""

from __future__ import annotations

from dataclasses import astuple, dataclass, field
from typing import Any

import torch

from balenas_core.engine.bilevel import Running
from balenas_core.errors import SearchInterrupted


@dataclass(slots=True)
class Place:
    """Whole epochs, steps of the epoch in progress, and that epoch's sums.

    Args:
        epochs_done: Epochs that are whole, with their metrics.
        steps_done: Steps of the next epoch; all of them while it is evaluated.
        step: Steps of all epochs.
        train: Sums over the training batches of the epoch in progress.
        validation: Sums over its validation batches.
    """

    epochs_done: int = 0
    steps_done: int = 0
    step: int = 0
    train: Running = field(default_factory=Running)
    validation: Running = field(default_factory=Running)

    def end_step(self) -> None:
        """Count one step."""
        self.steps_done += 1
        self.step += 1

    def end_epoch(self) -> None:
        """Count one epoch and start its sums anew."""
        self.epochs_done += 1
        self.steps_done = 0
        self.train, self.validation = Running(), Running()

    def check(self, epochs: int, steps_per_epoch: int) -> None:
        """Check that it lies in a job.

        Args:
            epochs: Epochs of the job.
            steps_per_epoch: Steps of each.

        Raises:
            ValueError: It lies beyond.
        """
        if self.epochs_done > epochs or self.steps_done > steps_per_epoch:
            raise ValueError(
                f"{self.epochs_done} epochs and {self.steps_done} steps are done, of {epochs} "
                f"epochs of {steps_per_epoch} steps"
            )

    def interruption(self) -> SearchInterrupted:
        """Return what ends a job that was asked to stop here."""
        return SearchInterrupted(
            f"stopped after {self.epochs_done} epochs and {self.steps_done} steps"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            "epochs_done": self.epochs_done,
            "steps_done": self.steps_done,
            "step": self.step,
            "train": list(astuple(self.train)),
            "validation": list(astuple(self.validation)),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Place:
        """Return what ``state_dict`` described."""
        return cls(
            epochs_done=state["epochs_done"],
            steps_done=state["steps_done"],
            step=state["step"],
            train=Running(*state["train"]),
            validation=Running(*state["validation"]),
        )


def global_generators() -> dict[str, Any]:
    """Return the states of torch's global generators, which layers such as dropout draw from."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def restore_global_generators(state: dict[str, Any]) -> None:
    """Restore what ``global_generators`` returned, as far as there are such devices."""
    torch.set_rng_state(state["cpu"])
    if torch.cuda.is_initialized():
        for index, saved in enumerate(state["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(saved, index)
