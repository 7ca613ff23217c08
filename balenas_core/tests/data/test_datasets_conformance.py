"""The core's own data sets pass the kit that it offers to others."""

import hashlib
import pickle
from typing import ClassVar

import numpy as np
import pytest
import torchvision.datasets
from PIL import Image

from balenas_core.testing import DatasetConformance


def _write_cifar(kind, folder, classes, monkeypatch):
    """Write small files in the official format, and make torchvision take them for official."""
    random = np.random.default_rng(0)
    (folder / kind.base_folder).mkdir()
    key = "label_names" if classes == 10 else "fine_label_names"
    labels = "labels" if classes == 10 else "fine_labels"

    def dump(name, content):
        data = pickle.dumps(content)
        (folder / kind.base_folder / name).write_bytes(data)
        return name, hashlib.md5(data).hexdigest()

    listed = [
        dump(
            f"batch_{number}",
            {
                "data": random.integers(0, 256, (4 * classes, 3072), dtype=np.uint8),
                labels: [*range(classes)] * 4,
            },
        )
        for number in range(2)
    ]
    name, md5 = dump("meta", {key: [f"kind{number}" for number in range(classes)]})
    monkeypatch.setattr(kind, "train_list", listed[:1])
    monkeypatch.setattr(kind, "test_list", listed[1:])
    monkeypatch.setattr(kind, "meta", {"filename": name, "key": key, "md5": md5})
    return {"root": str(folder)}


class TestCifar10(DatasetConformance):
    plugin_name = "cifar10"
    kind_of_files, classes = torchvision.datasets.CIFAR10, 10

    @pytest.fixture(autouse=True)
    def _files(self, tmp_path, monkeypatch):
        self.options = _write_cifar(self.kind_of_files, tmp_path, self.classes, monkeypatch)


class TestCifar100(TestCifar10):
    plugin_name = "cifar100"
    kind_of_files, classes = torchvision.datasets.CIFAR100, 100


class TestNpz(DatasetConformance):
    plugin_name = "npz"

    @pytest.fixture(autouse=True)
    def _file(self, write_npz):
        self.options = {"path": str(write_npz())}


class TestNpzOfGreyFloats(DatasetConformance):
    plugin_name = "npz"

    @pytest.fixture(autouse=True)
    def _file(self, write_npz):
        random = np.random.default_rng(1)
        images = {f"x_{part}": random.random((12, 8, 6)) for part in ("train", "test")}
        path = write_npz(**images, y_test=np.arange(12) % 3)
        self.options = {"path": str(path), "flip": False, "cutout": 2}


class _OfFiles(DatasetConformance):
    plugin_name = "image_folder"

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.__test__ = True

    __test__ = False
    more: ClassVar = {}

    @pytest.fixture(autouse=True)
    def _files(self, tmp_path, monkeypatch):
        monkeypatch.setenv("BALENAS_CACHE", str(tmp_path / "cache"))
        random = np.random.default_rng(0)
        for number in range(40):
            path = tmp_path / "images" / ("cat", "dog")[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 256, (14 + number % 3, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
        self.options = {"root": str(tmp_path / "images"), "size": 8, **self.more}


class TestImageFolder(_OfFiles):
    pass


class TestImageFolderOfDecodedImages(_OfFiles):
    more: ClassVar = {"cache": True}


class TestImageFolderWithoutTest(_OfFiles):
    more: ClassVar = {"test_fraction": 0, "augment": False}
