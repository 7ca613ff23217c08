"""Layers of NAS-Bench-101."""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn

from balenas_core.nn import (
    BatchNormMode,
    NodeSum,
    SharingOperation,
    Source,
    conv_norm_relu,
    runs_plain,
)
from balenas_space_nb1shot1._terms import MaxPool

NORM: Final = BatchNormMode(momentum=0.003)
"""TensorFlow's decay of 0.997 is torch's momentum 0.003."""


class ConvNormRelu(SharingOperation):
    """Convolution without bias, batch normalisation, ReLU.

    Args:
        channels: Channels in and out.
        kernel: Odd kernel size.
    """

    def __init__(self, channels: tuple[int, int], kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(*channels, kernel, padding=kernel // 2, bias=False)
        self.norm = NORM.make(channels[1])
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map `batch x in x height x width`-dim features to the output's."""
        out: Tensor = self.relu(self.norm(self.conv(x)))
        return out

    def accumulate(self, source: Source, weight: Tensor, value: float, total: NodeSum) -> None:
        """Scale in the batch normalisation: w relu(z) = relu(w z) for w > 0."""
        if value < 0 or runs_plain():
            total.add_scaled(self(source.features), weight, value)
            return
        total.add(conv_norm_relu(self.conv, self.norm, source.features, weight))


def make_operation(name: str, channels: int) -> SharingOperation:
    """Return a fresh operation of a vertex."""
    if name == "maxpool3x3":
        return MaxPool()
    return ConvNormRelu((channels, channels), {"conv3x3-bn-relu": 3, "conv1x1-bn-relu": 1}[name])


def halve(x: Tensor) -> Tensor:
    """Halve height and width, rounded up, by 2x2 max pooling."""
    return nn.functional.max_pool2d(x, 2, stride=2, ceil_mode=True)


def stage(index: int, cells: int) -> int:
    """Return how often the image has been halved before a cell."""
    return sum(index >= start for start in {cells // 3, 2 * cells // 3})
