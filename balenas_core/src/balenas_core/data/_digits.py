"""The embedded dataset: real images, no download."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from balenas_core.data._arrays import array_dataset
from balenas_core.data._extras import require
from balenas_core.data._options import DigitsOptions
from balenas_core.data._split import stratified
from balenas_core.interfaces.dataset import ImageDataset

TEST_FRACTION = 0.2
TEST_SEED = 0
"""Fixed, so that results on the test part can be compared."""

_FILE = "sklearn/datasets/data/digits.csv.gz"
_LEVELS = 16.0  # scikit-learn stores counts of black pixels in 4x4 blocks: 0..16


def load(options: DigitsOptions) -> ImageDataset:
    """Load 1,438 training and 359 test images of handwritten digits, 8x8 pixels, grey.

    Raises:
        DataError: scikit-learn is not installed.

    References:
        Alpaydin and Kaynak 1998, "Optical Recognition of Handwritten Digits", UCI repository:
        its test set, as scikit-learn ships it. The test part here is a stratified fifth of it
        that never changes.
    """
    table = _table()
    pixels = np.rint(table[:, :-1] * (255.0 / _LEVELS)).astype(np.uint8).reshape(-1, 8, 8, 1)
    labels = table[:, -1].astype(np.int64)
    train, test = stratified(labels, TEST_FRACTION, seed=TEST_SEED)
    return array_dataset(
        "digits",
        options,
        train=(pixels[train], labels[train]),
        test=(pixels[test], labels[test]),
        class_names=[str(digit) for digit in range(10)],
    )


def _table() -> NDArray[np.float64]:
    """Return a `1797 x 65`-dim array: 64 pixels and the label.

    The file is read where scikit-learn is installed: to import it would cost every process a
    second, and nothing else of it is wanted.
    """
    try:
        path = Path(str(distribution("scikit-learn").locate_file(_FILE)))
    except PackageNotFoundError:
        path = Path()
    if path.is_file():
        return np.loadtxt(path, delimiter=",")
    data = require("sklearn.datasets", extra="digits", dataset="digits").load_digits()
    return np.column_stack([data.data, data.target])
