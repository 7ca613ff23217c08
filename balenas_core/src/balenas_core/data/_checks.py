"""Checks of images and labels, each ending in one message with the fix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from balenas_core.errors import DataError
from balenas_core.interfaces.dataset import ImageDataset

MAX_CHANNELS = 4
"""More channels than this are taken for a wrong order of the axes."""


def check_pixels(
    name: str,
    pixels: NDArray[Any],
    *,
    value_range: tuple[float, float] | None = None,
    advice: str = "scale them to 0..255 by one range for all parts, and store them as uint8",
) -> NDArray[np.uint8]:
    """Return images as `n x height x width x channels`-dim uint8 array.

    Grey images may lack the last axis. Floats in 0..1 are rounded to 256 levels; integers in
    0..255 are converted.

    Args:
        name: What to call the array in messages.
        pixels: The images.
        value_range: Value of black and of white, for pixels of any other range; what is beyond is
            black or white.
        advice: What to do about pixels that are out of range, for the message.

    Raises:
        DataError: The shape, type or range is wrong.
    """
    if pixels.ndim == 3:
        pixels = pixels[..., np.newaxis]
    if pixels.ndim != 4:
        raise DataError(
            f"{name} must be images x height x width x channels, or images x height x width for "
            f"grey images; got shape {pixels.shape}."
        )
    if 0 in pixels.shape:
        raise DataError(f"{name} is empty: shape {pixels.shape}. Give it at least one image.")
    if pixels.shape[-1] > MAX_CHANNELS:
        hint = (
            f" The channels seem to come first: store {_code(name)}.transpose(0, 2, 3, 1)."
            if pixels.shape[1] <= MAX_CHANNELS
            else " Store 1 (grey) or 3 (colour) channels last."
        )
        raise DataError(
            f"{name} must have at most {MAX_CHANNELS} channels in its last axis; got shape "
            f"{pixels.shape}.{hint}"
        )
    return _as_uint8(name, pixels, value_range, advice)


def _as_uint8(
    name: str, pixels: NDArray[Any], value_range: tuple[float, float] | None, advice: str
) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8 and value_range is None:
        return pixels
    if not np.issubdtype(pixels.dtype, np.integer) and not np.issubdtype(pixels.dtype, np.floating):
        raise DataError(
            f"{name} must hold uint8 pixels; got dtype {pixels.dtype}. Store "
            "whole numbers in 0..255 with dtype uint8."
        )
    is_float = bool(np.issubdtype(pixels.dtype, np.floating))
    if is_float and not np.isfinite(pixels).all():
        bad = int(np.flatnonzero(~np.isfinite(pixels).all(axis=(1, 2, 3)))[0])
        raise DataError(
            f"{name} holds NaN or infinite pixels, first in image {bad}. Remove such images, or "
            f"replace the values with np.nan_to_num({_code(name)})."
        )
    if value_range is not None:
        return _scaled(pixels, *value_range)
    low, high = pixels.min(), pixels.max()
    limit = 1 if is_float else 255
    if low < 0 or high > limit:
        raise DataError(
            f"{name} holds {pixels.dtype} pixels from {low} to {high}; expected 0..{limit}. To "
            f"correct this, {advice}."
        )
    scaled = np.rint(pixels * 255.0) if is_float else pixels
    return scaled.astype(np.uint8)


def _scaled(pixels: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Return pixels with ``low`` as 0 and ``high`` as 255."""
    made = np.empty(pixels.shape, np.uint8)
    for image, result in zip(pixels, made, strict=True):  # all together: eight times the memory
        levels = (image.astype(np.float64) - low) * (255.0 / (high - low))
        result[...] = np.rint(levels.clip(0.0, 255.0))
    return made


def check_labels(name: str, labels: NDArray[Any], *, images: int) -> NDArray[np.int64]:
    """Return labels as `images`-dim int64 array of numbers from 0.

    Args:
        name: What to call the array in messages.
        labels: The labels.
        images: Number of images that they belong to.

    Raises:
        DataError: The shape or type is wrong, or a label is negative.
    """
    if labels.ndim != 1:
        hint = f" Store {_code(name)}.squeeze()." if labels.size == images else ""
        if labels.ndim == 2 and labels.shape[0] == images and labels.shape[1] > 1:
            hint = (
                f" For one-hot labels, store {_code(name)}.argmax(1)."
                if _is_one_hot(labels)
                else " Images of several classes at once are not supported."
            )
        raise DataError(
            f"{name} must have one axis, one class number per image; got shape "
            f"{labels.shape}.{hint}"
        )
    if len(labels) != images:
        raise DataError(
            f"{name} has {len(labels)} labels for {images} images. Give every image one label."
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"{name} must hold integer class numbers; got dtype {labels.dtype}"
            f"{_as_integers(_code(name), labels)}"
        )
    numbers = labels.astype(np.int64)
    if len(numbers) and numbers.min() < 0:
        raise DataError(
            f"{name} holds the negative label {numbers.min()}, at image {int(numbers.argmin())}. "
            "Classes are numbered from 0."
        )
    return numbers


def _is_one_hot(labels: NDArray[Any]) -> bool:
    if labels.dtype.kind not in "biuf":
        return False
    return bool(((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all())


def _as_integers(code: str, labels: NDArray[Any]) -> str:
    """Return an example of labels that are no integers, and how to make them so."""
    shown = labels
    advice = "Give every image the number of its class: 0, 1, 2, ..."
    if labels.dtype.kind in "US":
        advice = f"Store np.unique({code}, return_inverse=True)[1]."
    elif labels.dtype.kind == "b":
        advice = f"Store {code}.astype('int64')."
    elif labels.dtype.kind == "f":
        fractional = ~np.isfinite(labels) | (labels != np.rint(labels))
        if fractional.any():
            shown = labels[fractional]
        else:
            advice = f"Store {code}.astype('int64')."
    # Python's own values: NumPy's print as np.float64(1.5).
    example = f" such as {shown[0].item()!r}" if len(shown) else ""
    return f"{example}. {advice}"


def _code(name: str) -> str:
    """Return what code calls the array that messages call ``name``, without its file."""
    bare = name.rpartition(": ")[2]
    return bare if bare.isidentifier() else "array"


def check_dataset(dataset: ImageDataset) -> None:
    """Check what a search relies on, from labels and names alone: no image is read.

    Raises:
        DataError: A class has no training image, there is only one class, a label is out of
            range, or names are missing or not unique.
    """
    name, classes = dataset.name, dataset.num_classes
    if len(dataset.train) == 0:
        raise DataError(f"{name} has no training images.")
    check_class_names(name, dataset.class_names)
    parts = [("training", dataset.train)]
    if dataset.test is not None:
        parts.append(("test", dataset.test))
    for part, images in parts:
        labels = check_labels(f"{name}: {part} labels", images.labels, images=len(images))
        if len(labels) and labels.max() >= classes:
            raise DataError(
                f"{name}: {part} label {labels.max()} of image {int(labels.argmax())} is out of "
                f"range 0..{classes - 1}: there are {classes} classes. Correct the label, or name "
                "the missing classes."
            )
    _check_classes_present(dataset)


def check_class_names(name: str, class_names: Sequence[str]) -> None:
    """Check that there are at least two classes, each with a name of its own.

    Raises:
        DataError: There are fewer classes, or two have one name.
    """
    if len(class_names) < 2:
        raise DataError(
            f"{name} has only one class ({', '.join(map(repr, class_names)) or 'none'}); a search "
            "needs at least two classes to tell apart."
        )
    repeated = [name for name, count in Counter(class_names).items() if count > 1]
    if repeated:
        raise DataError(f"{name} has two classes called {repeated[0]!r}; give each its own name.")


def _check_classes_present(dataset: ImageDataset) -> None:
    counts = np.bincount(dataset.train.labels, minlength=dataset.num_classes)
    absent = np.flatnonzero(counts == 0)
    if not len(absent):
        return
    names = ", ".join(_class_label(i, dataset.class_names[i]) for i in absent[:5])
    more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
    hint = (
        " The labels seem to be numbered from 1: subtract 1."
        if absent.tolist() == [0]
        else " Add images of it, or number the classes without gaps."
    )
    raise DataError(f"{dataset.name} has no training image of class {names}{more}.{hint}")


def _class_label(number: int, name: str) -> str:
    return name if name == str(number) else f"{number} ({name})"
