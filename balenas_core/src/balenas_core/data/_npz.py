"""Images from a NumPy file."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from balenas_core.data._arrays import Labelled, array_dataset
from balenas_core.data._checks import check_labels, check_pixels
from balenas_core.data._options import NpzOptions
from balenas_core.data._paths import existing
from balenas_core.errors import DataError
from balenas_core.interfaces.dataset import ImageDataset
from balenas_core.plugins.suggest import did_you_mean

REQUIRED = ("x_train", "y_train", "x_test", "y_test")

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

    Nothing in the file is unpickled. Other arrays are ignored. Normalisation constants are
    those of the training images.

    Raises:
        DataError: The file is missing or damaged, an array is missing, or what is in it is not
            images and labels.
    """
    path = existing(options.path, key="data.path")
    arrays = _read(path)
    train, test = (_labelled(path, arrays, part) for part in ("train", "test"))
    classes = arrays.get("classes")
    return array_dataset(
        path.name,
        options,
        train=train,
        test=test,
        class_names=_numbers(path, train[1]) if classes is None else _class_names(path, classes),
    )


def _read(path: Path) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no regular file"
        raise DataError(
            f"data.path: {path} is {what}; name an .npz file, or use 'image_folder' for a "
            "folder of images."
        )
    try:
        # np.load leaves a file that it opened itself open when it fails.
        with path.open("rb") as stream, _npz_file(path, stream) as file:
            return _arrays(path, file)
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


def _arrays(path: Path, file: NpzFile) -> dict[str, NDArray[Any]]:
    names = file.files
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        others = [name for name in names if name not in REQUIRED]
        raise DataError(
            f"{path} lacks {', '.join(missing)}.{did_you_mean(missing[0], others)} It has: "
            f"{', '.join(names) or 'nothing'}."
        )
    wanted = [*REQUIRED, *(name for name in ("classes",) if name in names)]
    return {name: _array(path, file, name) for name in wanted}


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


def _labelled(path: Path, arrays: dict[str, NDArray[Any]], part: str) -> Labelled:
    x, y = f"x_{part}", f"y_{part}"
    pixels = check_pixels(f"{path.name}: {x}", arrays[x])
    return pixels, check_labels(f"{path.name}: {y}", arrays[y], images=len(pixels))


def _numbers(path: Path, labels: NDArray[np.int64]) -> list[str]:
    highest = int(labels.max())
    if highest >= len(labels):
        raise DataError(
            f"{path.name}: y_train has the label {highest}, so more classes than its {len(labels)} "
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
