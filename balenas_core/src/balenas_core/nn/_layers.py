"""Layers of cell-based networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from balenas_core.nn._norm import BatchNormMode


class ReluConvNorm(nn.Module):
    """ReLU, convolution without bias, batch normalisation; size ceil(size / stride).

    Args:
        channels: Channels in and out.
        kernel: Odd kernel size.
        stride: Stride of the convolution.
        norm: Kind of batch normalisation.
    """

    def __init__(
        self, channels: tuple[int, int], kernel: int, *, stride: int = 1, norm: BatchNormMode
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(*channels, kernel, stride, kernel // 2, bias=False)
        self.norm = norm.make(channels[1])
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map `batch x in x height x width`-dim features to the output's."""
        out: Tensor = self.norm(self.conv(self.relu(x)))
        return out


class FactorizedReduce(nn.Module):
    """Halve height and width by two 1x1 convolutions of stride 2, shifted by one pixel.

    Args:
        channels: Channels in and out.
        norm: Kind of batch normalisation.

    References:
        Liu et al. 2019, "DARTS", ICLR (released code). Deviations: images of odd size are
        padded by a zero row and column, and an odd number of output channels is allowed; both
        fail in the released code.
    """

    def __init__(self, channels: tuple[int, int], *, norm: BatchNormMode) -> None:
        super().__init__()
        channels_in, channels_out = channels
        shifted = channels_out // 2
        self.conv = nn.Conv2d(channels_in, channels_out - shifted, 1, stride=2, bias=False)
        # A single output channel needs no second convolution, and torch has none of 0 channels.
        self.conv_shifted = (
            nn.Conv2d(channels_in, shifted, 1, stride=2, bias=False) if shifted else None
        )
        self.norm = norm.make(channels_out)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map `batch x in x h x w` to `batch x out x ceil(h / 2) x ceil(w / 2)`-dim features."""
        x = self.relu(x)
        halves = [self.conv(x)]
        if self.conv_shifted is not None:
            padded = functional.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
            halves.append(self.conv_shifted(padded[:, :, 1:, 1:]))
        out: Tensor = self.norm(torch.cat(halves, dim=1))
        return out


def make_pool(kind: str, *, stride: int = 1) -> nn.Module:
    """Return 3x3 pooling, ``"max"`` or ``"avg"``, that leaves padding out of the average."""
    if kind == "max":
        return nn.MaxPool2d(3, stride, padding=1)
    return nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)


def global_average(x: Tensor) -> Tensor:
    """Average `batch x channels x height x width`-dim features over the image."""
    return x.mean(dim=(2, 3))


def drop_path(x: Tensor, probability: float) -> Tensor:
    """Set whole samples of ``x`` to zero and scale the others to keep the expectation.

    Draws from torch's global generator, like ``torch.nn.Dropout``.

    Args:
        x: `batch x ...`-dim tensor.
        probability: Chance of each sample to be dropped, in [0, 1).
    """
    keep = 1.0 - probability
    mask = x.new_empty((x.shape[0], *(1,) * (x.dim() - 1))).bernoulli_(keep)
    return x * (mask / keep)
