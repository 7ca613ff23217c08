"""The embedded dataset: real images, no download."""

from __future__ import annotations

import numpy as np

from balenas_core.data._arrays import array_dataset
from balenas_core.data._extras import require
from balenas_core.data._options import DigitsOptions
from balenas_core.data._split import stratified
from balenas_core.interfaces.dataset import ImageDataset

TEST_FRACTION = 0.2
TEST_SEED = 0
"""Fixed, so that results on the test part can be compared."""

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
    data = require("sklearn.datasets", extra="digits", dataset="digits").load_digits()
    pixels = np.rint(data.images * (255.0 / _LEVELS)).astype(np.uint8)[..., np.newaxis]
    labels = data.target.astype(np.int64)
    train, test = stratified(labels, TEST_FRACTION, seed=TEST_SEED)
    return array_dataset(
        "digits",
        options,
        train=(pixels[train], labels[train]),
        test=(pixels[test], labels[test]),
        class_names=[str(digit) for digit in range(10)],
    )
