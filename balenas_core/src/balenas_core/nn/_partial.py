"""Partial channels: operations see a part of a node's channels, the rest passes by."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Partition:
    """Which channels an edge's operations see, and how the others pass by.

    Args:
        parts: One of this many channels is seen; it divides the number of channels.
        stride: Stride of the edge; what passes by is max-pooled by it.

    References:
        Xu et al. 2020, "PC-DARTS", ICLR, and released code (max-pooling of what passes by,
        channel shuffle after it). Deviation: on an edge with weight on ``none`` as much less
        passes by.
    """

    parts: int
    stride: int = 1

    def seen(self, x: Tensor) -> Tensor:
        """Return the `batch x channels / parts x h x w`-dim features that operations see."""
        return x[:, : x.shape[1] // self.parts]

    def passed(self, x: Tensor) -> Tensor:
        """Return the other channels, at the size of the operations' results."""
        others = x[:, x.shape[1] // self.parts :]
        return others if self.stride == 1 else F.max_pool2d(others, self.stride, ceil_mode=True)

    def join(self, seen: Tensor, passed: Tensor) -> Tensor:
        """Put results and passed channels together, shuffled so that the next edge sees others."""
        joined = torch.cat([seen, passed], dim=1)
        batch, channels, height, width = joined.shape
        groups = joined.view(batch, self.parts, channels // self.parts, height, width)
        return groups.transpose(1, 2).reshape(batch, channels, height, width)


def partition_of(parts: int, *, stride: int = 1) -> Partition | None:
    """Return the partition of an edge; None if its operations see every channel."""
    return None if parts == 1 else Partition(parts, stride)


class PartialOperation(nn.Module):
    """An operation on a part of the channels, as a layer on all of them.

    Args:
        operation: Maps the seen channels to as many.
        partition: Which they are.
    """

    def __init__(self, operation: nn.Module, partition: Partition) -> None:
        super().__init__()
        self.operation = operation
        self.partition = partition

    def forward(self, x: Tensor) -> Tensor:
        """Map `batch x channels x h x w`-dim features to as many channels."""
        seen = self.operation(self.partition.seen(x))
        return self.partition.join(seen, self.partition.passed(x))
