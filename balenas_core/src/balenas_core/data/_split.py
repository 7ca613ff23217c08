"""Dividing a dataset into the parts of a search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from balenas_core.data._checks import check_dataset
from balenas_core.data._images import ImagePart
from balenas_core.errors import DataError
from balenas_core.interfaces.dataset import ImageDataset
from balenas_core.random import generator


@dataclass(frozen=True, slots=True)
class Split:
    """The two halves of a bilevel search: disjoint, and together all training images.

    Args:
        train: Trains the network's weights; seen through the dataset's augmentation.
        validation: Trains the architecture and measures accuracy; not augmented.
    """

    train: ImagePart
    validation: ImagePart


def split(
    dataset: ImageDataset, validation_fraction: float, *, seed: int, batch_size: int = 1
) -> Split:
    """Divide the training images, with the same mix of classes in both parts.

    A function of the labels, the fraction and the seed alone. Every class gives each part at
    least one image.

    Args:
        dataset: What to divide; its labels are checked first.
        validation_fraction: Share of the validation part, in (0, 1).
        seed: Which images go where.
        batch_size: Fewest images that either part must have.

    Raises:
        DataError: The labels are wrong, a class has too few images for both parts, or a part
            would be smaller than a batch.
        ValueError: The fraction is not in (0, 1).
    """
    if not 0 < validation_fraction < 1:
        raise ValueError(f"validation fraction must be in (0, 1); got {validation_fraction}")
    check_dataset(dataset)
    counts = np.bincount(dataset.train.labels, minlength=dataset.num_classes)
    if counts.min() < 2:
        rarest = int(counts.argmin())
        raise DataError(
            f"{dataset.name}: class {rarest} ({dataset.class_names[rarest]}) has one training "
            "image, but the training and the validation part need one each. Add images, or remove "
            "the class."
        )
    rest, chosen = stratified(dataset.train.labels, validation_fraction, seed=seed)
    train = ImagePart(f"{dataset.name} (training)", dataset.train, rest, dataset.augment)
    validation = ImagePart(f"{dataset.name} (validation)", dataset.train, chosen, dataset.normalize)
    for part in (train, validation):
        if len(part) < batch_size:
            raise DataError(
                f"{part.name} would have {len(part)} of {len(dataset.train)} images, fewer than a "
                f"batch of {batch_size}. Set training.batch_size to at most {len(part)}, change "
                f"training.validation_fraction (now {validation_fraction}), or add images."
            )
    return Split(train, validation)


def training_part(dataset: ImageDataset) -> ImagePart:
    """Return all training images, augmented: for retraining.

    Raises:
        DataError: The labels are wrong.
    """
    check_dataset(dataset)
    indices = np.arange(len(dataset.train))
    return ImagePart(f"{dataset.name} (training)", dataset.train, indices, dataset.augment)


def held_out_part(dataset: ImageDataset) -> ImagePart:
    """Return the held-out images, not augmented.

    Raises:
        DataError: The dataset has none, or the labels are wrong.
    """
    if dataset.test is None or len(dataset.test) == 0:
        raise DataError(f"{dataset.name} has no test images; use a dataset with a test part.")
    check_dataset(dataset)
    indices = np.arange(len(dataset.test))
    return ImagePart(f"{dataset.name} (test)", dataset.test, indices, dataset.normalize)


def stratified(
    labels: NDArray[np.int64], fraction: float, *, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return sorted indices of the rest and of a stratified ``fraction`` of the images.

    The part has ``round(n * fraction)`` images, each class within one image of its share
    (largest remainders), except that a class with at least two images is in both parts.
    """
    random = generator(seed, "stratified")
    classes = np.unique(labels)
    quotas = _quotas(np.array([np.sum(labels == c) for c in classes]), fraction)
    chosen = np.zeros(len(labels), dtype=bool)
    for label, quota in zip(classes, quotas, strict=True):
        members = np.flatnonzero(labels == label)
        order = torch.randperm(len(members), generator=random).numpy()
        chosen[members[order[:quota]]] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def _quotas(counts: NDArray[np.int64], fraction: float) -> NDArray[np.int64]:
    shares = counts * fraction
    quotas: NDArray[np.int64] = np.floor(shares).astype(np.int64)
    missing = round(float(counts.sum()) * fraction) - int(quotas.sum())
    by_remainder = np.argsort(quotas - shares, kind="stable")
    quotas[by_remainder[:missing]] += 1
    several = counts >= 2
    quotas[several] = quotas[several].clip(1, counts[several] - 1)
    return quotas
