"""Datasets, their splits, transforms and batches.

The plugins are declared here; what needs torch is imported when first used. How an image is
learned from is not known here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from balenas_core.data._options import (
    ArrayOptions as ArrayOptions,
    CifarOptions as CifarOptions,
    DigitsOptions as DigitsOptions,
    ImageFolderOptions as ImageFolderOptions,
    ImageOptions as ImageOptions,
    NpzOptions as NpzOptions,
)
from balenas_core.plugins.plugin import Plugin

if TYPE_CHECKING:
    from balenas_core.data._checks import (
        check_dataset as check_dataset,
        check_labels as check_labels,
        check_pixels as check_pixels,
    )
    from balenas_core.data._cifar import CIFAR10_STATISTICS as CIFAR10_STATISTICS
    from balenas_core.data._images import ArrayImages as ArrayImages, ImagePart as ImagePart
    from balenas_core.data._loader import BatchLoader as BatchLoader
    from balenas_core.data._split import (
        Split as Split,
        held_out_part as held_out_part,
        split as split,
        training_part as training_part,
    )
    from balenas_core.data._transforms import (
        ArrayAugmentation as ArrayAugmentation,
        Normalization as Normalization,
        cut_out as cut_out,
    )

digits = Plugin(
    kind="dataset",
    summary="1,797 handwritten digits of 8x8 pixels, shipped with scikit-learn",
    api_version=1,
    implementation="balenas_core.data._digits:load",
    options=DigitsOptions,
)
cifar10 = Plugin(
    kind="dataset",
    summary="60,000 colour images of 32x32 pixels, 10 classes (torchvision)",
    api_version=1,
    implementation="balenas_core.data._cifar:load_cifar10",
    options=CifarOptions,
)
cifar100 = Plugin(
    kind="dataset",
    summary="60,000 colour images of 32x32 pixels, 100 classes (torchvision)",
    api_version=1,
    implementation="balenas_core.data._cifar:load_cifar100",
    options=CifarOptions,
)
image_folder = Plugin(
    kind="dataset",
    summary="a folder of image files with one subfolder per class",
    api_version=1,
    implementation="balenas_core.data._folder:load",
    options=ImageFolderOptions,
)
npz = Plugin(
    kind="dataset",
    summary="a NumPy .npz file with x_train, y_train, x_test, y_test",
    api_version=1,
    implementation="balenas_core.data._npz:load",
    options=NpzOptions,
)

_MODULE_OF = {
    "ArrayAugmentation": "_transforms",
    "ArrayImages": "_images",
    "BatchLoader": "_loader",
    "CIFAR10_STATISTICS": "_cifar",
    "ImagePart": "_images",
    "Normalization": "_transforms",
    "Split": "_split",
    "check_dataset": "_checks",
    "check_labels": "_checks",
    "check_pixels": "_checks",
    "cut_out": "_transforms",
    "held_out_part": "_split",
    "split": "_split",
    "training_part": "_split",
}

__all__ = [
    "CIFAR10_STATISTICS",
    "ArrayAugmentation",
    "ArrayImages",
    "ArrayOptions",
    "BatchLoader",
    "CifarOptions",
    "DigitsOptions",
    "ImageFolderOptions",
    "ImageOptions",
    "ImagePart",
    "Normalization",
    "NpzOptions",
    "Split",
    "check_dataset",
    "check_labels",
    "check_pixels",
    "cifar10",
    "cifar100",
    "cut_out",
    "digits",
    "held_out_part",
    "image_folder",
    "npz",
    "split",
    "training_part",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
