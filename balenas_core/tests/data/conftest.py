from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from balenas_core.data import ArrayImages, ImagePart, Normalization
from balenas_core.interfaces.dataset import ImageDataset


@pytest.fixture
def make_dataset() -> Callable[..., ImageDataset]:
    """Return a maker of datasets of random 6x6 images with given training labels."""

    def make(labels: Any, *, test_labels: Any = None, names: Any = None, **changes: Any) -> Any:
        labels = np.asarray(labels)
        normalize = Normalization((0.5,), (0.25,))
        fields: dict[str, Any] = {
            "name": "made",
            "train": _images(labels),
            "test": None if test_labels is None else _images(np.asarray(test_labels)),
            "augment": normalize,
            "normalize": normalize,
            "input_shape": (1, 6, 6),
            "class_names": names or [f"class{i}" for i in range(int(labels.max()) + 1)],
        }
        return ImageDataset(**fields | changes)

    return make


def _images(labels: np.ndarray) -> ArrayImages:
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (len(labels), 1, 6, 6), generator=random, dtype=torch.uint8)
    return ArrayImages(pixels, labels)


@pytest.fixture
def make_part() -> Callable[..., ImagePart]:
    """Return a maker of parts whose images are their own index, seen through ``transform``."""

    def make(count: int, transform: Callable[[torch.Tensor], torch.Tensor] = _as_float) -> Any:
        pixels = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).repeat(1, 1, 2, 2)
        images = ArrayImages(pixels, np.arange(count))
        return ImagePart("made", images, np.arange(count), transform)

    return make


def _as_float(image: torch.Tensor) -> torch.Tensor:
    return image.float()


@pytest.fixture
def write_npz(tmp_path: Path) -> Callable[..., Path]:
    """Return a writer of valid .npz files, in which single arrays can be changed or left out."""

    def write(**changes: Any) -> Path:
        random = np.random.default_rng(0)
        arrays: dict[str, Any] = {
            "x_train": random.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8),
            "y_train": np.arange(12) % 3,
            "x_test": random.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8),
            "y_test": np.arange(6) % 3,
        }
        path = tmp_path / "images.npz"
        np.savez(path, **{k: v for k, v in (arrays | changes).items() if v is not None})
        return path

    return write
