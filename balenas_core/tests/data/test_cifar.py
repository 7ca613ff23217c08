from __future__ import annotations

import hashlib
import pickle
import sys

import numpy as np
import pytest
import torch
import torchvision.datasets

from balenas_core.data import CifarOptions, cifar10
from balenas_core.data._cifar import (
    CIFAR10_STATISTICS,
    CIFAR100_STATISTICS,
    load_cifar10,
    load_cifar100,
)
from balenas_core.errors import DataError

CLASSES = [f"kind{i}" for i in range(10)]


def _dump(path, content):
    path.write_bytes(pickle.dumps(content))
    return path.name, hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def small_cifar(tmp_path, monkeypatch):
    """Write small files in the official format, and make torchvision take them for official."""
    kind = torchvision.datasets.CIFAR10
    folder = tmp_path / kind.base_folder
    folder.mkdir()
    random = np.random.default_rng(0)
    batches = [
        {"data": random.integers(0, 256, (20, 3072), dtype=np.uint8), "labels": [*range(10)] * 2}
        for _ in range(3)
    ]
    listed = [_dump(folder / f"batch_{i}", batch) for i, batch in enumerate(batches)]
    name, md5 = _dump(folder / "batches.meta", {"label_names": CLASSES})
    monkeypatch.setattr(kind, "train_list", listed[:2])
    monkeypatch.setattr(kind, "test_list", listed[2:])
    monkeypatch.setattr(kind, "meta", {"filename": name, "key": "label_names", "md5": md5})
    return tmp_path, batches


def test_the_files_that_torchvision_stores_are_read(small_cifar):
    root, batches = small_cifar
    dataset = cifar10.load_implementation()(CifarOptions(root=root))
    assert (len(dataset.train), len(dataset.test)) == (40, 20)
    assert dataset.input_shape == (3, 32, 32)
    assert dataset.class_names == tuple(CLASSES)
    expected = torch.from_numpy(batches[1]["data"][3]).view(3, 32, 32)
    assert torch.equal(dataset.train[23], expected)
    np.testing.assert_array_equal(dataset.test.labels, batches[2]["labels"])


def test_cifar_is_shifted_by_four_pixels_mirrored_and_normalized_by_the_known_constants(
    small_cifar,
):
    augment = load_cifar10(CifarOptions(root=small_cifar[0], cutout=16)).augment
    assert (augment.padding, augment.flip, augment.cutout) == (4, True, 16)
    assert (augment.normalize.mean, augment.normalize.std) == CIFAR10_STATISTICS


def test_changed_files_are_not_unpickled(small_cifar):
    root, _ = small_cifar
    with (root / "cifar-10-batches-py" / "batch_1").open("ab") as file:
        file.write(b"x")
    with pytest.raises(DataError, match="cifar-10-batches-py is incomplete or damaged"):
        load_cifar10(CifarOptions(root=root))


@pytest.mark.parametrize(
    ("load", "folder"),
    [(load_cifar10, "cifar-10-batches-py"), (load_cifar100, "cifar-100-python")],
)
def test_missing_data_is_one_message_with_the_fix(tmp_path, load, folder):
    with pytest.raises(DataError, match=f"{folder} does not exist") as caught:
        load(CifarOptions(root=tmp_path))
    assert "--set data.download=true" in str(caught.value)
    assert f"data.root to the folder that holds {folder}" in str(caught.value)


def test_a_failed_download_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", (tmp_path / "none.tar.gz").as_uri())
    with pytest.raises(DataError, match=r"could not be downloaded .*copy cifar-10-python\.tar\.gz"):
        load_cifar10(CifarOptions(root=tmp_path, download=True))


def test_without_torchvision_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    with pytest.raises(
        DataError, match=r"'cifar10' needs torchvision.*pip install 'balenas-core\[vision\]'"
    ):
        load_cifar10(CifarOptions())


def test_the_constants_of_cifar_100_are_those_of_the_literature():
    rounded = [[round(v, 4) for v in values] for values in CIFAR100_STATISTICS]
    assert rounded == [[0.5071, 0.4865, 0.4409], [0.2673, 0.2564, 0.2762]]
