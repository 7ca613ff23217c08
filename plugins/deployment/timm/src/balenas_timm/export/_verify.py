"""Whether what was written computes what it should."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from balenas_core.errors import BalenasError
from balenas_timm._blueprint import Blueprint
from balenas_timm.export._source import example_images

TOLERANCE = 1e-5
"""Largest difference of logits, in proportion to the largest of them."""

_BATCHES = (1, 3)  # neither is the size of the example that graphs are traced with


class VerificationError(BalenasError):
    """A written network computes something else than the one it was made of."""


@torch.no_grad()
def largest_difference(
    network: nn.Module, written: Callable[[Tensor], Tensor], blueprint: Blueprint
) -> float:
    """Return the largest difference of logits on random images, over two sizes of batches.

    Raises:
        VerificationError: It is too large.
    """
    largest = 0.0
    for batch in _BATCHES:
        images = example_images(blueprint, batch, seed=batch)
        expected, got = network(images), written(images)
        difference = float((expected - got).abs().max())
        scale = float(expected.abs().max())
        if not difference <= TOLERANCE * scale:
            raise VerificationError(
                f"the written network's logits differ by {difference:.2e} from PyTorch's, of a "
                f"size up to {scale:.3g}; nothing was kept. Please report it, with the "
                f"architecture and the output of 'balenas doctor'."
            )
        largest = max(largest, difference)
    return largest
