"""The batches of one search."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from balenas_core.config import SearchConfig
from balenas_core.data import BatchLoader, split
from balenas_core.interfaces.dataset import ImageDataset
from balenas_core.random import derive_seed


@dataclass(frozen=True, slots=True)
class SearchBatches:
    """Batches of the training half and of the validation half.

    Args:
        train: Augmented images that train the weights.
        validation: Augmented images that train the architecture, as in the DARTS code.
        evaluation: The images of ``validation`` in order and without augmentation, which
            measure accuracy.
        shared_evaluation: Of the same, the batches that are this process's to measure.
        validation_images: Number of images of the validation half.
        dataset: All images.
    """

    train: BatchLoader
    validation: BatchLoader
    evaluation: BatchLoader
    shared_evaluation: BatchLoader
    validation_images: int
    dataset: ImageDataset

    @classmethod
    def of(
        cls,
        dataset: ImageDataset,
        config: SearchConfig,
        *,
        shard: tuple[int, int] = (0, 1),
        device: torch.device | None = None,
    ) -> SearchBatches:
        """Split a dataset as a configuration says.

        Args:
            dataset: All images.
            config: How they are split.
            shard: (number of this process, number of processes) that share the steps.
            device: Where batches will be used; the CPU by default.

        Raises:
            DataError: The images do not suffice.
        """
        training = config.training
        parts = split(
            dataset,
            training.validation_fraction,
            seed=derive_seed(config.seed, "split"),
            batch_size=training.batch_size,
        )
        device = device or torch.device("cpu")
        pin = device.type == "cuda"
        transform_on = device if training.augment_on_device else None
        augmented = replace(parts.validation, transform=dataset.augment)
        train, validation, evaluation = (
            BatchLoader(
                part,
                batch_size=training.batch_size,
                seed=derive_seed(config.seed, name),
                workers=training.workers,
                shuffle=shuffle,
                drop_last=shuffle,
                shard=shard if shuffle else (0, 1),
                transform_on=transform_on,
                pin=pin,
            )
            for part, name, shuffle in (
                (parts.train, "train", True),
                (augmented, "validation", True),
                (parts.validation, "evaluation", False),
            )
        )
        shared = evaluation
        if shard[1] > 1:
            shared = BatchLoader(
                parts.validation,
                batch_size=training.batch_size,
                seed=derive_seed(config.seed, "evaluation"),
                workers=training.workers,
                shuffle=False,
                drop_last=False,
                shard=shard,
                shards="batches",
                transform_on=transform_on,
                pin=pin,
            )
        return cls(train, validation, evaluation, shared, len(parts.validation), dataset)

    def divided(
        self, fraction: float, batch_size: int, seed: int
    ) -> tuple[BatchLoader, BatchLoader]:
        """Return loaders of all images but a fraction, augmented, and of that fraction.

        They load in this process, so that there is nothing to close.

        Raises:
            DataError: The images do not suffice.
        """
        parts = split(self.dataset, fraction, seed=seed)
        size = min(batch_size, len(parts.train))
        train = BatchLoader(parts.train, batch_size=size, seed=derive_seed(seed, "train"))
        held_out = BatchLoader(
            parts.validation, batch_size=batch_size, seed=seed, shuffle=False, drop_last=False
        )
        return train, held_out

    def close(self) -> None:
        """End the processes that load images."""
        for loader in (self.train, self.validation, self.evaluation, self.shared_evaluation):
            loader.close()
