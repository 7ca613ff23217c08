"""The images that a network is trained and tested on."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from balenas_core.data import BatchLoader, ImagePart, held_out_part, split, training_part
from balenas_core.engine.processes import Processes
from balenas_core.errors import UsageError
from balenas_core.interfaces.dataset import ImageDataset
from balenas_core.random import derive_seed
from balenas_timm.recipes import TrainingRecipe
from balenas_timm.training._augmentation import augmentation

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Batches:
    """The two streams of images of a training.

    Args:
        train: This process's share of each training batch.
        test: This process's share of the images to test on.
        test_images: How many these are in all processes.
        is_held_out: Whether they are a part of the training set.
    """

    train: BatchLoader
    test: BatchLoader
    test_images: int
    is_held_out: bool

    def close(self) -> None:
        """End the processes that load images."""
        self.train.close()
        self.test.close()


def batches(
    dataset: ImageDataset, recipe: TrainingRecipe, *, seed: int, processes: Processes
) -> Batches:
    """Return the batches of the whole training set, and those of the test part.

    A data set without a test part gives up a share of its training set for it.

    Raises:
        DataError: There are too few images.
        UsageError: A batch cannot be divided among the processes, or mixed.
    """
    share = processes.share_of(recipe.batch_size)
    if recipe.mixes and share % 2:
        raise UsageError(
            f"training.batch_size must give each process an even number of images for mixup and "
            f"CutMix (got {share}); set it to {(share + 1) * processes.count}."
        )
    train, test, is_held_out = _parts(dataset, recipe, seed)
    if is_held_out and processes.is_first:
        _log.warning(
            "%s has no test images: %d of the training images are tested on instead",
            dataset.name,
            len(test),
        )

    def loader(part: ImagePart, name: str, *, is_training: bool) -> BatchLoader:
        return BatchLoader(
            part,
            batch_size=recipe.batch_size,
            seed=derive_seed(seed, name),
            workers=recipe.workers,
            shuffle=is_training,
            drop_last=is_training,
            shard=processes.shard,
        )

    return Batches(
        loader(train, "train", is_training=True),
        loader(test, "test", is_training=False),
        len(test),
        is_held_out,
    )


def _parts(
    dataset: ImageDataset, recipe: TrainingRecipe, seed: int
) -> tuple[ImagePart, ImagePart, bool]:
    transform = augmentation(recipe, dataset)
    if dataset.test is not None and len(dataset.test):
        return replace(training_part(dataset), transform=transform), held_out_part(dataset), False
    parts = split(dataset, recipe.holdout, seed=derive_seed(seed, "holdout"))
    return replace(parts.train, transform=transform), parts.validation, True
