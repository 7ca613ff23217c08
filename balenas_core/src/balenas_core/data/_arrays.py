"""From checked arrays to a dataset."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from balenas_core.data._checks import check_dataset
from balenas_core.data._images import ArrayImages
from balenas_core.data._options import ArrayOptions
from balenas_core.data._transforms import augmentation, channel_statistics, normalization
from balenas_core.errors import DataError
from balenas_core.interfaces.dataset import ImageDataset

Labelled = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""(`n x height x width x channels` pixels, `n` class numbers)."""


def array_dataset(
    name: str,
    options: ArrayOptions,
    *,
    train: Labelled,
    test: Labelled,
    class_names: Sequence[str],
    statistics: tuple[Sequence[float], Sequence[float]] | None = None,
) -> ImageDataset:
    """Build a dataset of images in memory.

    Args:
        name: For messages.
        options: Augmentation and normalisation.
        train: Training pixels and labels.
        test: Held-out pixels and labels.
        class_names: One name per class.
        statistics: (mean, std) per channel; None to compute them from the training images.

    Raises:
        DataError: The images of both parts differ in shape, all pixels are equal, or the labels
            do not fit the classes.
    """
    if train[0].shape[1:] != test[0].shape[1:]:
        raise DataError(
            f"{name}: training images are {_size(train)} but test images are {_size(test)} "
            "(height x width x channels). Make them equal."
        )
    images = ArrayImages.from_numpy(*train)
    _, channels, height, width = images.pixels.shape
    if images.pixels.min() == images.pixels.max():
        raise DataError(
            f"{name}: every training pixel is {int(images.pixels.min())}; there is nothing to "
            "learn. Check how the images were stored."
        )
    mean, std = statistics or channel_statistics(images.pixels)
    normalize = normalization(options, mean, std, channels=channels)
    dataset = ImageDataset(
        name=name,
        train=images,
        test=ArrayImages.from_numpy(*test),
        augment=augmentation(options, normalize, side=min(height, width)),
        normalize=normalize,
        input_shape=(channels, height, width),
        class_names=tuple(class_names),
        statistics=(normalize.mean, normalize.std),
    )
    check_dataset(dataset)
    return dataset


def _size(labelled: Labelled) -> str:
    return " x ".join(map(str, labelled[0].shape[1:]))
