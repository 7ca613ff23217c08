"""The operations of DARTS cells."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from balenas_core.nn import BatchNormMode, FactorizedReduce, make_pool


class Noise(nn.Module):
    """Standard normal noise of the input's shape; ignores the input's values.

    Draws from torch's global generator, like ``torch.nn.Dropout``.

    Args:
        stride: Division of height and width.

    References:
        Zela et al. 2020, "Understanding and Robustifying Differentiable Architecture Search",
        ICLR, space S4.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Map `batch x channels x h x w` to the same shape divided by the stride."""
        return torch.randn_like(x[:, :, :: self.stride, :: self.stride])


def _separable(
    channels: int, kernel: int, *, stride: int, dilation: int = 1, norm: BatchNormMode
) -> list[nn.Module]:
    padding = dilation * (kernel // 2)
    return [
        nn.ReLU(),
        nn.Conv2d(
            channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False
        ),
        nn.Conv2d(channels, channels, 1, bias=False),
        norm.make(channels),
    ]


def _factorized_7x7(channels: int, *, stride: int, norm: BatchNormMode) -> list[nn.Module]:
    return [
        nn.ReLU(),
        nn.Conv2d(channels, channels, (1, 7), (1, stride), (0, 3), bias=False),
        nn.Conv2d(channels, channels, (7, 1), (stride, 1), (3, 0), bias=False),
        norm.make(channels),
    ]


def make_operation(name: str, channels: int, *, stride: int, norm: BatchNormMode) -> nn.Module:
    """Return a fresh operation other than ``none``.

    Args:
        name: Its name in the text form.
        channels: Channels in and out.
        stride: 2 on edges from the inputs of a reduction cell, otherwise 1.
        norm: Kind of batch normalisation.
    """
    kind, _, rest = name.partition("_conv_")
    if kind == "sep":
        kernel = int(rest[0])
        first = _separable(channels, kernel, stride=stride, norm=norm)
        return nn.Sequential(*first, *_separable(channels, kernel, stride=1, norm=norm))
    if kind == "dil":
        return nn.Sequential(
            *_separable(channels, int(rest[0]), stride=stride, dilation=2, norm=norm)
        )
    if name == "conv_7x1_1x7":
        return nn.Sequential(*_factorized_7x7(channels, stride=stride, norm=norm))
    if name == "noise":
        return Noise(stride)
    if name == "skip_connect":
        if stride == 1:
            return nn.Identity()
        return FactorizedReduce((channels, channels), norm=norm)
    return make_pool({"max_pool_3x3": "max", "avg_pool_3x3": "avg"}[name], stride=stride)


def make_search_operation(
    name: str, channels: int, *, stride: int, norm: BatchNormMode
) -> nn.Module:
    """Return a fresh operation as it is in the supernet: pooling is normalised there."""
    operation = make_operation(name, channels, stride=stride, norm=norm)
    if "pool" in name:
        return nn.Sequential(operation, norm.make(channels))
    return operation
