"""The operations of DARTS cells."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from balenas_core.nn import BatchNormMode, FactorizedReduce, Pool, SeparableConvNorm

_POOLS = {"max_pool_3x3": "max", "avg_pool_3x3": "avg"}


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
    if name.startswith("sep_conv"):
        return SeparableConvNorm(channels, _kernel(name), stride=stride, repeats=2, norm=norm)
    if name.startswith("dil_conv"):
        return SeparableConvNorm(channels, _kernel(name), stride=stride, dilation=2, norm=norm)
    if name == "conv_7x1_1x7":
        return nn.Sequential(*_factorized_7x7(channels, stride=stride, norm=norm))
    if name == "noise":
        return Noise(stride)
    if name == "skip_connect":
        if stride == 1:
            return nn.Identity()
        return FactorizedReduce((channels, channels), norm=norm)
    return Pool(_POOLS[name], stride=stride)


def _kernel(name: str) -> int:
    return int(name[-1])


def make_search_operation(
    name: str, channels: int, *, stride: int, norm: BatchNormMode
) -> nn.Module:
    """Return a fresh operation as it is in the supernet: pooling is normalised there."""
    if name in _POOLS:
        return Pool(_POOLS[name], stride=stride, norm=(norm, channels))
    return make_operation(name, channels, stride=stride, norm=norm)
