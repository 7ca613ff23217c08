"""Images to search on: stripes that run across, or down."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from balenas_core import ImageDataset
from numpy.typing import NDArray
from torch import Tensor

from balenas_dataset_stripes import Options

_MEAN, _DEVIATION = 0.5, 0.5


class Stripes:
    """Images that are made when they are read: class 0 runs across, class 1 down."""

    def __init__(self, count: int, size: int, seed: int) -> None:
        self._size, self._seed = size, seed
        self.labels: NDArray[np.int64] = np.arange(count, dtype=np.int64) % 2

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def __getitem__(self, index: int) -> Tensor:
        """Return one image, the same at every look."""
        label = int(self.labels[index])
        source = torch.Generator().manual_seed(1_000_003 * self._seed + index)
        levels = torch.randint(256, (self._size,), generator=source, dtype=torch.uint8)
        rows = levels[:, None].expand(self._size, self._size)
        image = rows if label == 0 else rows.T
        noise = torch.randint(16, image.shape, generator=source, dtype=torch.uint8)
        return (image // 2 + noise)[None].contiguous()


@dataclass(frozen=True, slots=True)
class Standardized:
    """uint8 image -> float image; at the top of a module, so that worker processes get it."""

    flips: bool

    def __call__(self, image: Tensor) -> Tensor:
        """Transform one image; draws from torch's global generator, which the loader seeds."""
        if self.flips and bool(torch.rand(()) < 0.5):
            image = image.flip(-1)
        return (image.float() / 255 - _MEAN) / _DEVIATION


def load_stripes(options: Options) -> ImageDataset:
    """Return the data set."""
    size = options.size
    return ImageDataset(
        name="stripes",
        train=Stripes(options.images, size, seed=0),
        test=Stripes(max(2, options.images // 4), size, seed=1),
        augment=Standardized(flips=True),
        normalize=Standardized(flips=False),
        input_shape=(1, size, size),
        class_names=("across", "down"),
        statistics=((_MEAN,), (_DEVIATION,)),
    )
