"""What a training returns and writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The outcome of a training.

    Args:
        architecture: The network's architecture as text.
        space: Name of its space.
        dataset: Name of the data set.
        preset: Name of the recipe that the settings build on.
        seed: Seed.
        epochs: Epochs that were made.
        test_accuracy: Accuracy in percent after the last epoch.
        test_loss: Mean cross-entropy there.
        test_images: Number of images tested on.
        is_held_out: Whether these are a part of the training set, for want of a test part.
        train_accuracy: Accuracy in percent over the last epoch, on augmented images.
        train_loss: Mean loss over the last epoch.
        parameters: Number of parameters, without those of an auxiliary head.
        auxiliary_parameters: Number of parameters of the auxiliary head.
        processes: Number of processes that shared the work.
        seconds: Wall-clock time of training and testing, over all interruptions.
        run: Directory; None if nothing was written.
    """

    architecture: str
    space: str
    dataset: str
    preset: str | None
    seed: int
    epochs: int
    test_accuracy: float
    test_loss: float
    test_images: int
    is_held_out: bool
    train_accuracy: float
    train_loss: float
    parameters: int
    auxiliary_parameters: int
    processes: int
    seconds: float
    run: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain data, as in ``result.json``."""
        values = asdict(self)
        del values["run"]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], run: Path | None) -> TrainingResult:
        """Return what ``to_dict`` described; what else is there is left out."""
        names = [one.name for one in fields(cls) if one.name != "run"]
        return cls(**{name: values[name] for name in names}, run=run)
