from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from balenas_core.data import (
    BatchLoader,
    DigitsOptions,
    Normalization,
    _digits,
    digits,
    held_out_part,
    split,
)
from balenas_core.data._digits import load
from balenas_core.errors import DataError
from balenas_core.testing import DatasetConformance


@pytest.fixture(scope="module")
def dataset():
    return digits.load_implementation()(DigitsOptions())


def test_the_sizes_are_1438_and_359_images_of_8_by_8(dataset):
    assert (len(dataset.train), len(dataset.test)) == (1438, 359)
    assert dataset.input_shape == (1, 8, 8)
    assert dataset.class_names == tuple("0123456789")


def test_both_parts_together_are_scikit_learns_images(dataset):
    ours = torch.cat([dataset.train.pixels, dataset.test.pixels]).flatten(1).numpy()
    theirs = np.rint(load_digits().data * 255 / 16).astype(np.uint8)
    np.testing.assert_array_equal(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)])


def test_sixteen_levels_are_kept_apart(dataset):
    assert dataset.train.pixels.unique().tolist() == np.rint(np.arange(17) * 255 / 16).tolist()


def test_the_held_out_images_never_change(dataset):
    np.testing.assert_array_equal(dataset.test.labels[:12], [8, 1, 2, 5, 0, 9, 1, 3, 5, 2, 2, 3])
    again = load(DigitsOptions(cutout=2, augment=False))
    assert torch.equal(again.test.pixels, dataset.test.pixels)


def test_the_held_out_images_have_every_class_in_proportion(dataset):
    share = np.bincount(dataset.test.labels) / np.bincount(dataset.train.labels)
    assert np.all(np.abs(share - 0.25) < 0.02)


def test_digits_are_shifted_by_one_pixel_and_never_mirrored(dataset):
    assert (dataset.augment.padding, dataset.augment.flip) == (1, False)
    assert isinstance(load(DigitsOptions(augment=False)).augment, Normalization)


def test_a_linear_model_learns_what_comes_out_of_the_loader(dataset):
    part = split(dataset, 0.5, seed=0).validation
    (train,) = BatchLoader(part, batch_size=719, seed=0).iterate(0)
    (test,) = BatchLoader(held_out_part(dataset), batch_size=359, seed=0).iterate(0)
    model = LogisticRegression(max_iter=500).fit(train.images.flatten(1), train.labels)
    assert model.score(test.images.flatten(1), test.labels) > 0.93


def test_the_file_is_what_scikit_learn_loads(dataset, monkeypatch):
    monkeypatch.setattr(_digits, "_FILE", "sklearn/datasets/elsewhere.csv.gz")
    by_its_loader = load(DigitsOptions())
    for ours, theirs in ((dataset.train, by_its_loader.train), (dataset.test, by_its_loader.test)):
        assert torch.equal(ours.pixels, theirs.pixels)
        np.testing.assert_array_equal(ours.labels, theirs.labels)


def test_without_scikit_learn_the_message_names_the_extra(monkeypatch):
    def is_missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(_digits, "distribution", is_missing)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DataError, match=r"needs sklearn.*pip install 'balenas-core\[digits\]'"):
        load(DigitsOptions())


def test_declaring_the_datasets_imports_no_torch_and_no_vision():
    code = (
        "import sys, balenas_core.data as d; d.digits, d.npz, d.NpzOptions;"
        "print({'torch', 'numpy', 'sklearn', 'torchvision', 'PIL'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_loading_digits_imports_neither_torchvision_nor_scikit_learn():
    code = (
        "import sys, balenas_core.data as d;"
        "d.digits.load_implementation()(d.DigitsOptions());"
        "print({'torchvision', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_an_unknown_name_of_the_package_is_an_attribute_error():
    import balenas_core.data as data

    with pytest.raises(AttributeError, match="has no attribute 'BatchLoadr'"):
        _ = data.BatchLoadr


def test_every_public_name_can_be_imported():
    import balenas_core.data as data

    assert all(getattr(data, name) is not None for name in data.__all__)


class TestDigits(DatasetConformance):
    plugin_name = "digits"
