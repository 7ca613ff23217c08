"""Weights and data made by a formula, to compare two implementations number for number.

Nothing here depends on a random number generator, a library version or a platform: the same
label gives the same tensor to the last bit of float64.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from balenas_core.errors import UsageError
from balenas_core.interfaces.proxy import Batch

_BATCH_LABEL = 20_000


def formula_numbers(shape: tuple[int, ...], label: int) -> NDArray[np.float64]:
    """Return numbers in (0, 1) that depend on their position and the label alone.

    ``u(i, L) = (h(i, L) + 0.5) / 2^32``, ``i`` the position in C order and ``h`` the hash

        z = i * 0x9E3779B1 + L * 0x85EBCA6B + 0x12345678
        z ^= z >> 16;  z *= 0x7FEB352D;  z ^= z >> 15;  z *= 0x846CA68B;  z ^= z >> 16

    modulo 2^32.
    """
    mask = np.uint64(0xFFFFFFFF)
    z = np.arange(math.prod(shape), dtype=np.uint64) * np.uint64(0x9E3779B1)
    z = (z + np.uint64((label * 0x85EBCA6B + 0x12345678) % 2**32)) & mask
    z ^= z >> np.uint64(16)
    z = (z * np.uint64(0x7FEB352D)) & mask
    z ^= z >> np.uint64(15)
    z = (z * np.uint64(0x846CA68B)) & mask
    z ^= z >> np.uint64(16)
    numbers: NDArray[np.float64] = (z.astype(np.float64) + 0.5) / 2.0**32
    return numbers.reshape(shape)


def formula_batch(size: int, shape: tuple[int, int, int], classes: int, *, index: int = 0) -> Batch:
    """Return batch ``index``: float64 images of unit variance, labels 0, 1, 2, ... in turn."""
    numbers = formula_numbers((size, *shape), _BATCH_LABEL + index)
    return Batch(torch.from_numpy((2 * numbers - 1) * math.sqrt(3)), torch.arange(size) % classes)


@torch.no_grad()
def fill_by_formula(network: nn.Module, labels: Mapping[str, int] | None = None) -> None:
    """Fill a network's parameters by formula and reset its normalisations.

    Weights of two and more dimensions become ``(2u - 1) * sqrt(6 / fan_in)``, biases
    ``(2u - 1) * 0.1``, scales of normalisations 1 and their shifts 0. Computed in float64 and
    rounded to the type of the network. Running statistics are reset.

    Args:
        network: Written to in place.
        labels: Label by parameter name, for every weight and every bias outside of
            normalisations; None numbers these from 1 in the order of ``named_parameters``.

    Raises:
        UsageError: ``labels`` lacks a parameter.
    """
    fixed: set[str] = set()
    for prefix, module in network.named_modules():
        if isinstance(module, nn.modules.batchnorm._NormBase | nn.GroupNorm | nn.LayerNorm):
            fixed |= {f"{prefix}.{n}" if prefix else n for n, _ in module.named_parameters()}
            module.reset_parameters()
    names = [name for name, _ in network.named_parameters() if name not in fixed]
    known = dict(zip(names, range(1, len(names) + 1), strict=True)) if labels is None else labels
    for name in names:
        if name not in known:
            raise UsageError(f"no formula label for parameter {name!r}; add it to `labels`.")
        parameter = network.get_parameter(name)
        numbers = 2 * formula_numbers(tuple(parameter.shape), known[name]) - 1
        parameter.copy_(torch.from_numpy(numbers * _scale(parameter)))


def _scale(parameter: Tensor) -> float:
    return math.sqrt(6 / parameter[0].numel()) if parameter.dim() > 1 else 0.1
