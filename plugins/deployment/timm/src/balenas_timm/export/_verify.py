"""Whether what was written computes what it should."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from balenas_core.errors import BalenasError
from balenas_timm.export._source import example_images
from balenas_timm.weights import Blueprint

TOLERANCE = 1e-5
"""Largest error of logits, in proportion to the largest of them."""

_TIMES_OWN = 10.0
"""A deep network amplifies rounding: as many times PyTorch's own error in float32 will do, too."""

_BATCHES = (1, 3)  # neither is the size of the example that graphs are traced with


class VerificationError(BalenasError):
    """A written network computes something else than the one it was made of."""


@torch.no_grad()
def largest_difference(
    network: nn.Module, written: Callable[[Tensor], Tensor], blueprint: Blueprint
) -> float:
    """Return the largest difference of logits on random images, over two sizes of batches.

    Both are judged by their error, the distance from the same network in float64.

    Raises:
        VerificationError: The written network's error is too large.
    """
    exact_network = copy.deepcopy(network).double()
    largest = 0.0
    for batch in _BATCHES:
        images = example_images(blueprint, batch, seed=batch)
        exact, own, got = exact_network(images.double()), network(images), written(images)
        tolerance = max(TOLERANCE * _largest(exact), _TIMES_OWN * _largest(own - exact))
        error = _largest(got - exact)
        if not error <= tolerance:
            raise VerificationError(
                f"the written network's logits are off by {error:.2e}, of a size up to "
                f"{_largest(exact):.3g}, where PyTorch's are by {_largest(own - exact):.2e}; "
                f"nothing was kept. Please report it to those who publish the format, with the "
                f"architecture and the output of 'balenas doctor'."
            )
        largest = max(largest, _largest(got - own))
    return largest


def _largest(x: Tensor) -> float:
    return float(x.abs().max())
