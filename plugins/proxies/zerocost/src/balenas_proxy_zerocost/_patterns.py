"""Proxies that count different activation patterns of the ReLUs."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor, nn

from balenas_core.interfaces.proxy import Batch, Proxy
from balenas_core.scores.probing import batch_for, preserved
from balenas_proxy_zerocost._draws import draw_weights, normal
from balenas_proxy_zerocost.options import LinearRegionsOptions, SwapOptions

_BITS = 62  # of one int64, without its sign
_CHUNK = 100  # random inputs of one forward pass, as in the published code of TE-NAS


def swap(
    network: nn.Module,
    batch: Batch,
    *,
    images: int | None = 16,
    repeats: int = 0,
    mu: float | None = None,
    sigma: float | None = None,
    unit: float = 1e6,
    seed: int = 0,
) -> float:
    """Return the number of different sample-wise activation patterns.

    A unit of a ReLU with image-shaped input has as its pattern which of the B images make it
    positive; the score counts different patterns over all units. It saturates at ``2^B``, so B
    should be 16 or more. Regularised, it is multiplied by ``exp(-(p - mu)^2 / sigma)``, ``p``
    the number of parameters in units of ``unit``. 0 without a ReLU: the lowest.

    Args:
        network: The network, untouched afterwards; it runs in training mode.
        batch: The first ``images`` of it are used.
        images: Number of images; None for the whole batch.
        repeats: Number of fresh standard-normal weights to average over; 0 takes those given.
        mu: Preferred number of parameters, with ``sigma``; None for no regularisation.
        sigma: Width of the preference.
        unit: Number of parameters that counts as one in ``mu`` and ``sigma``.
        seed: Seed of fresh weights.

    References:
        Peng, Song, Fayek, Ciesielski, Chang, 2024, SWAP-NAS. Its code averages 32 fresh
        weights: ``repeats=32``. Deviation: by default the weights given.
    """
    part = Batch(batch.images[:images], batch.labels[:images])
    generator = Generator().manual_seed(seed)
    counts = []
    with preserved(network), torch.no_grad():
        network.train()
        for _ in range(max(repeats, 1)):
            if repeats:
                draw_weights(network, "gaussian", generator)
            counts.append(_count_unit_patterns(network, batch_for(network, part).images))
    score = sum(counts) / len(counts)
    if mu is None or sigma is None:
        return score
    size = sum(p.numel() for p in network.parameters()) / unit
    return score * math.exp(-((size - mu) ** 2) / sigma)


def _count_unit_patterns(network: nn.Module, images: Tensor) -> int:
    """Encode each unit's pattern over the images as whole numbers, and count different ones."""
    found: list[Tensor] = []

    def collect(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs[0].dim() != 4:
            return
        active = (inputs[0] > 0).flatten(1)
        words = [
            (part.long() << torch.arange(len(part), device=part.device)[:, None]).sum(0)
            for part in active.split(_BITS)
        ]
        found.append(_unique(torch.stack(words, dim=1)))

    handles = [
        module.register_forward_pre_hook(collect)
        for module in network.modules()
        if isinstance(module, nn.ReLU)
    ]
    network(images)
    for handle in handles:
        handle.remove()
    return len(_unique(torch.cat(found))) if found else 0


def _unique(words: Tensor) -> Tensor:
    if words.shape[1] > 1:
        different: Tensor = torch.unique(words, dim=0)
        return different
    numbers: Tensor = torch.unique(words)  # sorting numbers is far faster than sorting rows
    return numbers[:, None]


def linear_regions(
    network: nn.Module,
    batch: Batch,
    *,
    samples: int = 1000,
    size: int | None = None,
    seed: int = 0,
) -> float:
    """Return the number of different activation patterns of random inputs.

    An input's pattern says which units of the ReLUs with image-shaped input are positive; the
    score counts different patterns of ``samples`` standard-normal images, and so the linear
    regions of the network that they fall into. It saturates at ``samples`` in all but the
    smallest networks: build the network with one or two channels and take ``size`` 4 or so.
    0 without a ReLU: the lowest.

    Args:
        network: The network, untouched afterwards; it runs in training mode.
        batch: Only the shape of its images is used.
        samples: Number of inputs, run 100 at a time.
        size: Their height and width; None for those of the batch's images.
        seed: Seed of the inputs.

    References:
        Chen, Gong, Wang, 2021, TE-NAS, section 3.1.2. Deviations: normal inputs where the released
        code crops 3x3 pixels of one channel out of CIFAR images; the network as it is where
        that code builds a smaller one.
    """
    shape = tuple(batch.images.shape[1:]) if size is None else (batch.images.shape[1], size, size)
    generator = Generator().manual_seed(seed)
    patterns: set[bytes] = set()
    with preserved(network), torch.no_grad():
        network.train()
        codes: list[Tensor] = []

        def collect(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
            if inputs[0].dim() == 4:
                codes.append((inputs[0] > 0).flatten(1))

        for module in network.modules():
            if isinstance(module, nn.ReLU):
                module.register_forward_pre_hook(collect)
        like = batch_for(network, Batch(batch.images[:1], batch.labels[:1])).images
        for start in range(0, samples, _CHUNK):
            codes.clear()
            network(normal((min(_CHUNK, samples - start), *shape), like, generator))
            if codes:
                patterns.update(row.tobytes() for row in torch.cat(codes, 1).cpu().numpy())
    return float(len(patterns))


class Swap(Proxy):
    """The ``swap`` proxy; see ``swap``."""

    def __init__(self, options: SwapOptions) -> None:
        self._options = options

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the number of different patterns of units."""
        return swap(network, batch, **self._options.model_dump())


class LinearRegions(Proxy):
    """The ``linear_regions`` proxy; see ``linear_regions``."""

    needs_data = False

    def __init__(self, options: LinearRegionsOptions) -> None:
        self._options = options

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the number of different patterns of inputs."""
        return linear_regions(network, batch, **self._options.model_dump())
