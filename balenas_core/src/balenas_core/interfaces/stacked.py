"""Features of many networks in one tensor, for running networks as one program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Stacked:
    """Features of several networks at one place, one block of images after the other.

    Networks whose features are equal because they were computed from the same features by the
    same layers share a block.

    Args:
        features: `(blocks * batch) x channels x height x width`-dim tensor.
        rows: `networks`-dim int64 tensor on the CPU: the block of each network; -1 for zero
            features.
        batch: Images in a block.
    """

    features: Tensor
    rows: Tensor
    batch: int

    def used_by(self, networks: Tensor) -> Stacked:
        """Return the blocks that some of the networks use, with a row for each of those."""
        blocks, rows = torch.unique(self.rows[networks], return_inverse=True)
        return Stacked(_take(self.features, blocks, self.batch), rows, self.batch)


def joined(parts: Sequence[tuple[Tensor, Stacked]], count: int, like: Stacked) -> Stacked:
    """Put the features of different networks together; zero for networks in no part.

    Args:
        parts: Networks, and their features.
        count: Number of all networks.
        like: Features of the same shape.
    """
    rows = torch.full((count,), -1, device=like.rows.device)
    blocks = 0
    for networks, part in parts:
        rows[networks] = part.rows + blocks
        blocks += len(part.features) // part.batch
    features = [part.features for _, part in parts]
    together = torch.cat(features) if features else like.features[:0]
    return Stacked(together, rows, like.batch)


def summed(terms: Sequence[Stacked]) -> Stacked:
    """Add features up, network by network, in the order of the terms; equal sums once."""
    rows = torch.stack([term.rows for term in terms], dim=1)
    sums, index = torch.unique(rows, dim=0, return_inverse=True)
    batch = terms[0].batch
    features = [term.features for term in terms]
    layout = _layout(max(features, key=len))
    total = features[0].new_zeros((len(sums) * batch, *features[0].shape[1:]))
    total = total.contiguous(memory_format=layout)
    for term, blocks in zip(features, sums.unbind(1), strict=True):
        has = (blocks >= 0).nonzero()[:, 0]
        if len(has):
            taken = blocks[has].to(term.device)
            added = _blocks(term, batch, layout).index_select(0, taken)
            _blocks(total, batch, layout).index_add_(0, has.to(term.device), added)
    return Stacked(total, index, batch)


def _take(x: Tensor, rows: Tensor, batch: int) -> Tensor:
    if len(rows) * batch == len(x):  # all of them, in order, since rows are unique
        return x
    layout = _layout(x)
    blocks = _blocks(x, batch, layout).index_select(0, rows.to(x.device))
    if layout is torch.contiguous_format:
        return blocks.view(-1, *x.shape[1:])
    _, channels, height, width = x.shape
    return blocks.view(-1, height, width, channels).permute(0, 3, 1, 2)


def _blocks(x: Tensor, batch: int, layout: torch.memory_format) -> Tensor:
    """Return a view with one row for each block, in the order of memory."""
    x = x.contiguous(memory_format=layout)
    in_order = x if layout is torch.contiguous_format else x.permute(0, 2, 3, 1)
    return in_order.view(len(x) // batch, -1)


def _layout(x: Tensor) -> torch.memory_format:
    is_last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if is_last else torch.contiguous_format
