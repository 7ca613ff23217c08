"""Image datasets as a search sees them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class Images(Protocol):
    """A map-style source of single images.

    ``labels`` is known without reading an image, so that splits can be stratified and checked.
    """

    @property
    def labels(self) -> NDArray[np.int64]:
        """`n` class numbers."""

    def __len__(self) -> int:
        """Return the number of images."""

    def __getitem__(self, index: int) -> Tensor:
        """Return image ``index`` as a `channels x height x width`-dim uint8 tensor."""


Transform = Callable[[Tensor], Tensor]
"""uint8 image -> float image; draws from torch's global generator, which the loader seeds."""


@dataclass(frozen=True, slots=True)
class ImageDataset:
    """What a dataset plugin returns: sources, transforms and shape.

    A plugin's implementation is called as ``load(options)``.

    Args:
        name: For messages and result files.
        train: Images that a search splits into a training and a validation part.
        test: Held-out images, never seen in a search; None if there are none.
        augment: Transform of training images.
        normalize: Transform of validation and test images.
        input_shape: (channels, height, width) after the transforms.
        class_names: One name per class.
        statistics: Mean and standard deviation per channel, of pixels in 0..1, by which both
            transforms standardise; None where they do something else.
        crop: Part of the side that ``normalize`` keeps: it resizes the shorter side to the size
            over ``crop``, bilinearly, and cuts out the centre. 1 where sizes stay as they are.
    """

    name: str
    train: Images
    test: Images | None
    augment: Transform
    normalize: Transform
    input_shape: tuple[int, int, int]
    class_names: Sequence[str]
    statistics: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    crop: float = 1.0

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)
