"""Image files in one folder per class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from balenas_core.data._checks import check_dataset
from balenas_core.data._extras import require
from balenas_core.data._options import ImageFolderOptions
from balenas_core.data._paths import existing
from balenas_core.data._split import stratified
from balenas_core.data._transforms import (
    Normalization,
    check_sides,
    cut_out,
    normalization,
)
from balenas_core.errors import DataError
from balenas_core.interfaces.dataset import ImageDataset, Transform

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp"})

IMAGENET_STATISTICS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

TEST_SEED = 0
"""Fixed, so that the held-out images never depend on a search's seed."""

_CROP_MARGIN = 256 / 224
"""Size before the central crop over size after it, as ImageNet is evaluated."""

_SHOWN = 5


@dataclass(frozen=True, slots=True, eq=False)
class FolderImages:
    """Image files, decoded when they are asked for; colours are RGB.

    Args:
        paths: The files.
        labels: One class number per file.
    """

    paths: Sequence[Path]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        from PIL import Image

        path = self.paths[index]
        try:
            with Image.open(path) as image:
                pixels = np.array(image.convert("RGB"))
        except Exception as error:  # damaged files make PIL raise almost anything
            raise DataError(f"{_unreadable([path])} ({error})") from error
        return torch.from_numpy(pixels).permute(2, 0, 1)

    def subset(self, indices: NDArray[np.int64]) -> FolderImages:
        """Return some of the images."""
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

    With ``train/``, the held-out images are those in ``test/``, or else in ``val/``. Without
    it, the class folders are in ``root`` itself, and ``test_fraction`` of every class is held
    out: always the same files. Images are resized to ``size``; normalisation constants are
    ImageNet's.

    Raises:
        DataError: torchvision is missing, a folder is missing or empty, the class folders of
            the two parts differ, or files are no readable images.
    """
    root = existing(options.root, key="data.root")
    train, test, class_names = _find(root, options.test_fraction)
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
    root: Path, test_fraction: float
) -> tuple[FolderImages, FolderImages | None, tuple[str, ...]]:
    train_root = root / "train"
    if not train_root.is_dir():
        class_names = _class_folders(root)
        images = _scan(root, class_names)
        if test_fraction == 0:
            return images, None, class_names
        train, test = stratified(images.labels, test_fraction, seed=TEST_SEED)
        return images.subset(train), images.subset(test), class_names
    class_names = _class_folders(train_root)
    train_images = _scan(train_root, class_names)
    test_root = next((root / name for name in ("test", "val") if (root / name).is_dir()), None)
    if test_root is None:
        return train_images, None, class_names
    test_names = _class_folders(test_root)
    if test_names != class_names:
        only = {
            train_root: sorted(set(class_names) - set(test_names)),
            test_root: sorted(set(test_names) - set(class_names)),
        }
        differences = "; ".join(f"only in {p}: {', '.join(n)}" for p, n in only.items() if n)
        raise DataError(
            f"the class folders of {train_root} and {test_root} differ: {differences}. Give both "
            "the same names."
        )
    return train_images, _scan(test_root, class_names), class_names


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    except OSError as error:
        raise DataError(
            f"cannot read folder {folder}: {error.strerror}. data.root must be a folder with one "
            "readable subfolder per class."
        ) from error


def _class_folders(root: Path) -> tuple[str, ...]:
    names = tuple(p.name for p in _entries(root) if p.is_dir())
    if len(names) < 2:
        found = f"only {names[0]!r}" if names else "none"
        raise DataError(
            f"{root} must have at least two subfolders, one per class; found {found}. Sort the "
            "images into root/class/file, or root/train/class/file."
        )
    return names


def _scan(root: Path, class_names: Sequence[str]) -> FolderImages:
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(class_names):
        files = [p for p in _entries(root / name) if p.suffix.lower() in SUFFIXES]
        if not files:
            raise DataError(
                f"class folder {root / name} holds no image files "
                f"({', '.join(sorted(SUFFIXES))}). Add images, or remove the folder."
            )
        paths += files
        labels += [label] * len(files)
    _check_headers(paths)
    return FolderImages(paths, np.array(labels, dtype=np.int64))


def _check_headers(paths: Sequence[Path]) -> None:
    """Open every file, so that all that are no images are named before a search starts."""
    from PIL import Image

    unreadable, deep = [], []
    for path in paths:
        try:
            with Image.open(path) as image:
                # PIL clips such pixels to 255 when it converts them: nearly all become white.
                if image.mode.startswith(("I", "F")):
                    deep.append(path)
        except Exception:  # damaged files make PIL raise almost anything
            unreadable.append(path)
    if unreadable:
        raise DataError(_unreadable(unreadable))
    if deep:
        raise DataError(
            f"{len(deep)} images have more than 8 bits per channel, such as {deep[0]}. Convert "
            "them to 8 bits."
        )


def _unreadable(paths: Sequence[Path]) -> str:
    shown = ", ".join(map(str, paths[:_SHOWN]))
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    them = "it" if len(paths) == 1 else "them"
    count = "1 file is" if len(paths) == 1 else f"{len(paths)} files are"
    return f"{count} no readable image: {shown}{more}. Replace or remove {them}."
