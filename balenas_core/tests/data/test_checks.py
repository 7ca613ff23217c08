from __future__ import annotations

import numpy as np
import pytest

from balenas_core.data import check_dataset, check_labels, check_pixels
from balenas_core.errors import DataError


def test_good_labels_become_int64():
    labels = check_labels("y", np.array([0, 1, 2], dtype=np.uint8), images=3)
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(labels, [0, 1, 2])


def test_uint8_pixels_are_not_copied():
    pixels = np.zeros((2, 3, 3, 1), np.uint8)
    assert check_pixels("x", pixels) is pixels


def test_a_dataset_made_at_run_time_is_checked_too(make_dataset):
    check_dataset(make_dataset([0, 1, 1], test_labels=[1]))
    cases = {
        r"made: training label 3 of image 2 is out of range 0\.\.2": make_dataset(
            [0, 1, 3], names=["a", "b", "c"]
        ),
        r"made: training labels holds the negative label -1": make_dataset([0, 1, -1]),
        r"made: test label 4 of image 1": make_dataset([0, 1], test_labels=[0, 4]),
        r"made has only one class \('a'\)": make_dataset([0, 0], names=["a"]),
        r"made has no training image of class 1 \(class1\)": make_dataset([0, 2]),
        r"made: training labels must hold integer class numbers": make_dataset([0.0, 1.0]),
    }
    for message, dataset in cases.items():
        with pytest.raises(DataError, match=message):
            check_dataset(dataset)


def test_a_dataset_without_images_is_refused(make_dataset):
    empty = make_dataset([0, 1]).train
    empty = type(empty)(empty.pixels[:0], empty.labels[:0])
    with pytest.raises(DataError, match="made has no training images"):
        check_dataset(make_dataset([0, 1], train=empty))


def test_many_absent_classes_are_counted(make_dataset):
    with pytest.raises(DataError, match=r"class 1 \(class1\), .*5 \(class5\) and 3 more\."):
        check_dataset(make_dataset([0, 9]))
