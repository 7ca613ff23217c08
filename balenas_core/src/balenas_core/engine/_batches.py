"""The batches of one search."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch

from balenas_core.config import SearchConfig
from balenas_core.data import BatchLoader, ImagePart, split
from balenas_core.interfaces.dataset import ImageDataset
from balenas_core.random import derive_seed


@dataclass(frozen=True, slots=True)
class SearchBatches:
    """Batches of the training half and of the validation half.

    Args:
        train: Augmented images that train the weights; of several processes, this one's share.
        whole_train: The same whole, for what a process does on its own.
        validation: Augmented images that train the architecture, as in the DARTS code.
        evaluation: The images of ``validation`` in order and without augmentation, which
            measure accuracy.
        shared_evaluation: Of the same, the batches that are this process's to measure.
        validation_images: Number of images of the validation half.
        dataset: All images.
    """

    train: BatchLoader
    whole_train: BatchLoader
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
        augmented = replace(parts.validation, transform=dataset.augment)
        alone = (0, 1)

        def loader(
            part: ImagePart,
            name: str,
            *,
            shuffle: bool = True,
            shard: tuple[int, int] = alone,
            shards: Literal["images", "batches"] = "images",
        ) -> BatchLoader:
            return BatchLoader(
                part,
                batch_size=training.batch_size,
                seed=derive_seed(config.seed, name),
                workers=training.workers,
                shuffle=shuffle,
                drop_last=shuffle,
                shard=shard,
                shards=shards,
                transform_on=device if training.augment_on_device else None,
                pin=device is not None and device.type == "cuda",
            )

        train = loader(parts.train, "train", shard=shard)
        evaluation = loader(parts.validation, "evaluation", shuffle=False)
        is_shared = shard != alone
        return cls(
            train=train,
            whole_train=loader(parts.train, "train") if is_shared else train,
            validation=loader(augmented, "validation", shard=shard),
            evaluation=evaluation,
            shared_evaluation=loader(
                parts.validation, "evaluation", shuffle=False, shard=shard, shards="batches"
            )
            if is_shared
            else evaluation,
            validation_images=len(parts.validation),
            dataset=dataset,
        )

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
        for loader in (
            self.train,
            self.whole_train,
            self.validation,
            self.evaluation,
            self.shared_evaluation,
        ):
            loader.close()
