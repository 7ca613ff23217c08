"""Image files in one folder per class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from balenas_core.data._checks import check_dataset
from balenas_core.data._class_folders import Found, find_parts
from balenas_core.data._decoded import DecodedFile
from balenas_core.data._extras import require
from balenas_core.data._folder_index import Facts, FolderIndex, fingerprint
from balenas_core.data._image_files import decode
from balenas_core.data._options import ImageFolderOptions
from balenas_core.data._paths import existing
from balenas_core.data._split import stratified
from balenas_core.data._transforms import (
    Normalization,
    check_sides,
    cut_out,
    normalization,
)
from balenas_core.interfaces.dataset import ImageDataset, Transform

IMAGENET_STATISTICS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

TEST_SEED = 0
"""Fixed, so that the held-out images never depend on a search's seed."""

_CROP_MARGIN = 256 / 224
"""Size before the central crop over size after it, as ImageNet is evaluated."""


@dataclass(frozen=True, slots=True, eq=False)
class FolderImages:
    """Image files, decoded when they are asked for; colours are RGB.

    Args:
        paths: The files.
        labels: One class number per file.
        decoded: Where their pixels are kept once they are decoded; None to decode each time.
    """

    paths: Sequence[Path]
    labels: NDArray[np.int64]
    decoded: DecodedFile | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        if self.decoded is not None:
            return self.decoded[index]
        return torch.from_numpy(decode(self.paths[index])).permute(2, 0, 1)

    def subset(self, indices: NDArray[np.int64]) -> FolderImages:
        """Return some of the images, which are not kept decoded."""
        return FolderImages([self.paths[i] for i in indices], self.labels[indices])


class FolderAugmentation:
    """Random resized crop, random mirror, normalisation, cutout.

    Args:
        options: Of the dataset.
        normalize: Turns a uint8 image into a float image.

    References:
        Szegedy et al. 2015, CVPR, section 6 (crops of a random area and aspect ratio).
    """

    def __init__(self, options: ImageFolderOptions, normalize: Normalization) -> None:
        v2 = _v2()
        mirror = [v2.RandomHorizontalFlip()] if options.flip else []
        self._change = v2.Compose(
            [
                v2.RandomResizedCrop(options.size, (options.min_crop, 1.0), antialias=True),
                *mirror,
            ]
        )
        self._normalize = normalize
        self._cutout = options.cutout

    def __call__(self, image: Tensor) -> Tensor:
        """Return the training view of an image of any size."""
        image = self._normalize(self._change(image))
        return cut_out(image, self._cutout) if self._cutout else image


class CentralView:
    """Resizing of the shorter side, central crop, normalisation.

    Args:
        size: Height and width of the result.
        normalize: Turns a uint8 image into a float image.
    """

    def __init__(self, size: int, normalize: Normalization) -> None:
        v2 = _v2()
        self._change = v2.Compose(
            [v2.Resize(round(size * _CROP_MARGIN), antialias=True), v2.CenterCrop(size)]
        )
        self._normalize = normalize

    def __call__(self, image: Tensor) -> Tensor:
        """Return the view of an image of any size."""
        return self._normalize(self._change(image))


def load(options: ImageFolderOptions) -> ImageDataset:
    """Find the image files below ``root``; they are decoded when they are needed.

    With ``train/``, the held-out images are those in ``test/``, or else in ``val/``,
    ``validation/`` or ``valid/``, in upper or lower case. Without it, the class folders are in
    ``root`` itself, and ``test_fraction`` of every class is held out: always the same files.
    Images are turned as their EXIF data says, and resized to ``size``; normalisation constants
    are ImageNet's. Each file is looked into once; what is known of it is kept in the folder for
    caches, and with ``cache`` its decoded pixels, too.

    Raises:
        DataError: torchvision is missing, a folder is missing or empty, the class folders of
            the two parts differ, or files are no readable images.
    """
    root = existing(options.root, key="data.root")
    train, test, class_names = _find(root, options)
    normalize = normalization(options, *IMAGENET_STATISTICS, channels=3)
    check_sides(options, side=options.size)
    view = CentralView(options.size, normalize)
    augment: Transform = FolderAugmentation(options, normalize) if options.augment else view
    dataset = ImageDataset(
        name=root.name,
        train=train,
        test=test,
        augment=augment,
        normalize=view,
        input_shape=(3, options.size, options.size),
        class_names=class_names,
        statistics=(normalize.mean, normalize.std),
        crop=1 / _CROP_MARGIN,
    )
    check_dataset(dataset)
    return dataset


def _v2() -> ModuleType:
    return require("torchvision.transforms.v2", extra="vision", dataset="image_folder")


def _find(
    root: Path, options: ImageFolderOptions
) -> tuple[FolderImages, FolderImages | None, tuple[str, ...]]:
    train_part, test_part = find_parts(root)
    class_names = tuple(train_part.classes)
    images = _images(train_part)
    test = None if test_part is None else _images(test_part)
    index = FolderIndex(root)
    paths = [*images.paths, *(test.paths if test is not None else ())]
    facts = dict(zip(paths, index.checked(paths), strict=True))
    if train_part.root == root and options.test_fraction:
        kept, chosen = stratified(images.labels, options.test_fraction, seed=TEST_SEED)
        images, test = images.subset(kept), images.subset(chosen)
    if options.cache:
        images = _kept(images, index, facts)
        test = None if test is None else _kept(test, index, facts)
    return images, test, class_names


def _kept(images: FolderImages, index: FolderIndex, facts: Mapping[Path, Facts]) -> FolderImages:
    """Return the images with a file for their decoded pixels."""
    own = [facts[path] for path in images.paths]
    state = fingerprint(own, map(str, images.paths))
    decoded = DecodedFile(f"{index.key}-{state}", images.paths, own)
    return replace(images, decoded=decoded)


def _images(part: Found) -> FolderImages:
    files = list(part.classes.values())
    labels = np.repeat(np.arange(len(files), dtype=np.int64), [len(paths) for paths in files])
    return FolderImages([path for paths in files for path in paths], labels)
