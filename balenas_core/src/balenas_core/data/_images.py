"""Images in memory, and parts of a dataset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from balenas_core.interfaces.dataset import Images, Transform


@dataclass(frozen=True, slots=True, eq=False)
class ArrayImages:
    """Images held in memory as one tensor.

    Args:
        pixels: `n x channels x height x width`-dim uint8 tensor.
        labels: `n` class numbers.
    """

    pixels: Tensor
    labels: NDArray[np.int64]

    @classmethod
    def from_numpy(cls, pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> ArrayImages:
        """Take `n x height x width x channels`-dim uint8 pixels; they are copied."""
        return cls(torch.from_numpy(np.array(pixels.transpose(0, 3, 1, 2), order="C")), labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Tensor:
        return self.pixels[index]


@dataclass(frozen=True, slots=True, eq=False)
class ImagePart:
    """Some images of a dataset, with the transform they are to be seen through.

    Args:
        name: For messages, such as ``"digits (training)"``.
        images: The source.
        indices: Which of the source's images belong to the part.
        transform: uint8 image -> float image.
    """

    name: str
    images: Images
    indices: NDArray[np.int64]
    transform: Transform

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class numbers of the part's images."""
        return self.images.labels[self.indices]

    def __len__(self) -> int:
        return len(self.indices)
