"""CIFAR-10 and CIFAR-100 as torchvision stores them."""

from __future__ import annotations

from typing import Any

import numpy as np

from balenas_core.data._arrays import array_dataset
from balenas_core.data._extras import require
from balenas_core.data._options import CifarOptions
from balenas_core.data._paths import expanded
from balenas_core.errors import DataError
from balenas_core.interfaces.dataset import ImageDataset

CIFAR10_STATISTICS = (
    (0.49139968, 0.48215827, 0.44653124),
    (0.24703233, 0.24348505, 0.26158768),
)
"""Mean and standard deviation per channel of the 50,000 training images."""

CIFAR100_STATISTICS = (
    (0.50707516, 0.48654887, 0.44091784),
    (0.26733429, 0.25643846, 0.27615047),
)


def load_cifar10(options: CifarOptions) -> ImageDataset:
    """Load CIFAR-10.

    Raises:
        DataError: torchvision or the data is missing, or a download failed.

    References:
        Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images".
    """
    return _load("cifar10", "CIFAR10", options, CIFAR10_STATISTICS)


def load_cifar100(options: CifarOptions) -> ImageDataset:
    """Load CIFAR-100 with its 100 fine classes.

    Raises:
        DataError: torchvision or the data is missing, or a download failed.

    References:
        Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images".
    """
    return _load("cifar100", "CIFAR100", options, CIFAR100_STATISTICS)


def _load(
    name: str,
    class_name: str,
    options: CifarOptions,
    statistics: tuple[tuple[float, ...], tuple[float, ...]],
) -> ImageDataset:
    datasets = require("torchvision.datasets", extra="vision", dataset=name)
    kind = getattr(datasets, class_name)
    train, test = (_read(name, kind, options, is_train=is_train) for is_train in (True, False))
    return array_dataset(
        name,
        options,
        train=(train.data, np.asarray(train.targets, dtype=np.int64)),
        test=(test.data, np.asarray(test.targets, dtype=np.int64)),
        class_names=train.classes,
        statistics=statistics,
    )


def _read(name: str, kind: Any, options: CifarOptions, *, is_train: bool) -> Any:
    # torchvision unpickles these files, but only after their MD5 sums have been found to be
    # those of the official ones.
    root = expanded(options.root, key="data.root")
    try:
        return kind(root=root, train=is_train, download=options.download)
    except (RuntimeError, OSError) as error:
        folder = root / kind.base_folder
        if options.download:
            raise DataError(
                f"{name} could not be downloaded to {root}: {error}. Check the connection and that "
                f"the folder can be written, or copy {kind.filename} there yourself and extract it."
            ) from error
        state = "is incomplete or damaged" if folder.is_dir() else "does not exist"
        raise DataError(
            f"{name}: {folder} {state}. Set data.download to true (--set data.download=true) to "
            f"get it ({kind.url}), or data.root to the folder that holds {kind.base_folder}."
        ) from error
