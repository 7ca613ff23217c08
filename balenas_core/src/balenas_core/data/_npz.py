"""Images from a NumPy file."""

from __future__ import annotations

import logging
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from balenas_core.data._arrays import Labelled, array_dataset
from balenas_core.data._checks import check_labels, check_pixels
from balenas_core.data._options import ArrayName, NpzOptions
from balenas_core.data._paths import existing
from balenas_core.errors import DataError
from balenas_core.interfaces.dataset import ImageDataset
from balenas_core.plugins.suggest import did_you_mean

_log = logging.getLogger(__name__)

REQUIRED: Final[tuple[ArrayName, ...]] = ("x_train", "y_train", "x_test", "y_test")

_MEDMNIST: Final[Mapping[ArrayName, str]] = {
    "x_train": "train_images",
    "y_train": "train_labels",
    "x_test": "test_images",
    "y_test": "test_labels",
}

_UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    MemoryError,  # a header that claims a huge array
    RuntimeError,  # encrypted, or a zip feature that Python lacks
    zipfile.BadZipFile,
    zlib.error,
)


def load(options: NpzOptions) -> ImageDataset:
    """Load ``x_train, y_train, x_test, y_test`` and, if it is there, ``classes``.

    Nothing in the file is unpickled. Arrays of other names are named in ``options.arrays``;
    those of MedMNIST are known. Further arrays are not used, which a warning says.
    Normalisation constants are those of the training images.

    References:
        Yang et al. 2023, "MedMNIST v2", Scientific Data (the names of its arrays).

    Raises:
        DataError: The file is missing or damaged, an array is missing, or what is in it is not
            images and labels.
    """
    path = existing(options.path, key="data.path")
    arrays, names = _read(path, options.arrays)
    images = arrays["x_train"], arrays["x_test"]
    is_plain = options.range is not None or all(part.dtype == np.uint8 for part in images)
    advice = "" if is_plain else _advice(*images)

    def labelled(x: ArrayName, y: ArrayName) -> Labelled:
        pixels = check_pixels(
            f"{path.name}: {names[x]}", arrays[x], value_range=options.range, advice=advice
        )
        labels = arrays[y]
        if labels.ndim == 2 and labels.shape[1] == 1:  # as MedMNIST has them
            labels = labels[:, 0]
        return pixels, check_labels(f"{path.name}: {names[y]}", labels, images=len(pixels))

    train, test = labelled("x_train", "y_train"), labelled("x_test", "y_test")
    classes = arrays.get("classes")
    return array_dataset(
        path.name,
        options,
        train=train,
        test=test,
        class_names=(
            _numbers(path, names["y_train"], train[1])
            if classes is None
            else _class_names(path, classes)
        ),
    )


def _advice(*parts: NDArray[Any]) -> str:
    """Return the option that scales all parts alike."""
    numbers = [_finite(part) for part in parts if part.dtype.kind in "iuf"]
    low = min((float(part.min()) for part in numbers if part.size), default=0.0)
    high = max((float(part.max()) for part in numbers if part.size), default=1.0)
    for usual in ((0.0, 255.0), (-1.0, 1.0)):
        if usual[0] <= low and high <= usual[1]:
            low, high = usual
            break
    return (
        f"set data.range to the values of black and white, such as [{low:.6g},{high:.6g}], by "
        "which both parts are scaled"
    )


def _finite(pixels: NDArray[Any]) -> NDArray[Any]:
    finite: NDArray[Any] = pixels[np.isfinite(pixels)] if pixels.dtype.kind == "f" else pixels
    return finite


def _read(
    path: Path, given: Mapping[ArrayName, str]
) -> tuple[dict[ArrayName, NDArray[Any]], dict[ArrayName, str]]:
    """Return the arrays, and what each is called in the file."""
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no regular file"
        raise DataError(
            f"data.path: {path} is {what}; name an .npz file, or use 'image_folder' for a "
            "folder of images."
        )
    try:
        # np.load leaves a file that it opened itself open when it fails.
        with path.open("rb") as stream, _npz_file(path, stream) as file:
            names = _array_names(path, file.files, given)
            return {what: _array(path, file, name) for what, name in names.items()}, names
    except _UNREADABLE as error:
        raise _damaged(path, error) from error


def _npz_file(path: Path, stream: BinaryIO) -> NpzFile:
    file = np.load(stream, allow_pickle=False)
    if not isinstance(file, NpzFile):
        raise DataError(
            f"{path} holds one array; expected an .npz file with {', '.join(REQUIRED)}. Write it "
            "with np.savez(path, x_train=..., ...)."
        )
    return file


def _array_names(
    path: Path, there: Sequence[str], given: Mapping[ArrayName, str]
) -> dict[ArrayName, str]:
    """Return what each array is called in the file."""
    usual = _MEDMNIST if set(_MEDMNIST.values()) <= set(there) else {}
    names: dict[ArrayName, str] = {
        what: given.get(what, what if what in there else usual.get(what, what)) for what in REQUIRED
    }
    if "classes" in given or "classes" in there:
        names["classes"] = given.get("classes", "classes")
    missing = [name for name in names.values() if name not in there]
    others = [name for name in there if name not in names.values()]
    if missing:
        raise DataError(
            f"{path} lacks {', '.join(missing)}.{did_you_mean(missing[0], others)} It has: "
            f"{', '.join(there) or 'nothing'}. Say what they are called there with data.arrays, "
            "such as data.arrays.x_train=NAME."
        )
    if others:
        _log.warning("not used of %s: the arrays %s", path, ", ".join(others))
    return names


def _array(path: Path, file: NpzFile, name: str) -> NDArray[Any]:
    try:
        array: NDArray[Any] = file[name]
    except _UNREADABLE as error:
        if "allow_pickle" in str(error) or "Object arrays" in str(error):
            raise DataError(
                f"{path}: {name} is an array of Python objects, which is not loaded because it "
                f"could run code. Store {name} as numbers (names as np.array([...], dtype=str))."
            ) from error
        raise _damaged(path, error, name) from error
    return array


def _damaged(path: Path, error: BaseException, name: str = "") -> DataError:
    if isinstance(error, PermissionError):
        return DataError(f"{path} cannot be read: {error.strerror}. Check its permissions.")
    what = f"{name} in {path}" if name else f"{path}"
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    if "pickle" in reason:
        reason = "it is no .npz file"
    return DataError(
        f"{what} cannot be read, the file is damaged or no .npz file: {reason}. Copy or write it "
        "again with np.savez."
    )


def _numbers(path: Path, name: str, labels: NDArray[np.int64]) -> list[str]:
    highest = int(labels.max())
    if highest >= len(labels):
        raise DataError(
            f"{path.name}: {name} has the label {highest}, so more classes than its {len(labels)} "
            "images. Number the classes 0, 1, 2, ... without gaps."
        )
    return [str(number) for number in range(highest + 1)]


def _class_names(path: Path, classes: NDArray[Any]) -> list[str]:
    if classes.ndim != 1 or classes.dtype.kind not in "US":
        raise DataError(
            f"{path.name}: classes must be one axis of names; got shape {classes.shape} and dtype "
            f"{classes.dtype}. Store np.array(['cat', 'dog', ...])."
        )
    if classes.dtype.kind == "S":
        classes = np.char.decode(classes, "utf-8", "replace")
    return [str(name) for name in classes]
