"""The components of AZ-NAS."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from balenas_core.interfaces.proxy import Batch, Proxy
from balenas_core.scores.probing import preserved, score_or_worst
from balenas_proxy_zerocost._draws import draw_weights, images_for
from balenas_proxy_zerocost.options import AzNasOptions

Choice = Literal["kaiming", "given"]
Images = Literal["gaussian", "batch"]


def az_expressivity(
    network: nn.Module,
    batch: Batch,
    *,
    weights: Choice = "kaiming",
    images: Images = "gaussian",
    seed: int = 0,
) -> float:
    """Return how evenly the features of a network's blocks spread over their channels.

    ``sum over features f_l of -sum_i p_i log(p_i + 1e-8)``, ``p`` the eigenvalues of the
    covariance of the channels (over images and pixels), divided by their sum. The features are
    the input of the first block and the output of each, in training mode; see ``blocks``.

    ``-inf`` if a feature is constant, or there are no blocks.

    Args:
        network: The network, untouched afterwards.
        batch: Gives the shape, and the images for ``images="batch"``.
        weights: Fresh Kaiming-normal (fan-in) weights, or those given.
        images: Standard-normal images, or the batch's.
        seed: Seed of weights, images and probe.

    References:
        Lee and Ham, 2024, AZ-NAS (released code). Deviation: blocks are found by structure,
        where that code has a method for each network.
    """
    with _features(network, batch, weights, images, seed, gradients=False) as (features, _):
        return score_or_worst(sum(map(_entropy, features))) if features else -math.inf


def az_progressivity(
    network: nn.Module,
    batch: Batch,
    *,
    weights: Choice = "kaiming",
    images: Images = "gaussian",
    seed: int = 0,
) -> float:
    """Return the smallest growth of expressivity from one feature to the next.

    ``min over l of E_l - E_(l-1)``, ``E_l`` the terms of ``az_expressivity``, whose arguments
    it takes. ``-inf`` if a feature is constant, or there are no blocks.

    References:
        Lee and Ham, 2024, AZ-NAS (released code).
    """
    with _features(network, batch, weights, images, seed, gradients=False) as (features, _):
        entropies = [_entropy(feature) for feature in features]
    growth = [after - before for before, after in itertools.pairwise(entropies)]
    return score_or_worst(min(growth)) if growth and not any(map(math.isnan, growth)) else -math.inf


def az_trainability(
    network: nn.Module,
    batch: Batch,
    *,
    weights: Choice = "kaiming",
    images: Images = "gaussian",
    seed: int = 0,
) -> float:
    """Return how well each block passes gradients back without stretching them.

    ``mean over blocks of 2 - s - 1 / (s + 1e-6)``, ``s`` the largest singular value of
    ``mean over images and pixels of g_in g_out^T``, where ``g_out`` are random signs and
    ``g_in`` is what the block makes of them at its input (pixels of a stride go to channels).
    At most 0, about. Takes the arguments of ``az_expressivity``.

    ``-inf`` if a block hands the signs on unchanged, or does not depend on its input, or there
    are no blocks.

    References:
        Lee and Ham, 2024, AZ-NAS (released code).
    """
    with _features(network, batch, weights, images, seed, gradients=True) as (features, generator):
        scores = [
            _block_trainability(inner, outer, generator)
            for inner, outer in zip(features[-2::-1], features[:0:-1], strict=True)
        ]
    return score_or_worst(sum(scores) / len(scores)) if scores else -math.inf


def blocks(network: nn.Module) -> list[nn.Module]:
    """Return the blocks of a network, such as its cells.

    They are the members of every ``nn.ModuleList`` or ``nn.ModuleDict`` that lies in no other; in
    a network without such containers, those of the longest ``nn.Sequential`` among the network
    and its children.
    """
    members = [member for one in _outermost_containers(network) for member in one.children()]
    if members:
        return members
    chains = [m for m in (network, *network.children()) if isinstance(m, nn.Sequential)]
    longest: nn.Sequential = max(chains, key=lambda one: len(one), default=nn.Sequential())
    return list(longest)


def _outermost_containers(module: nn.Module) -> Iterator[nn.Module]:
    if isinstance(module, nn.ModuleList | nn.ModuleDict):
        yield module
    else:
        for child in module.children():
            yield from _outermost_containers(child)


@contextmanager
def _features(
    network: nn.Module, batch: Batch, weights: str, images: str, seed: int, *, gradients: bool
) -> Iterator[tuple[list[Tensor], Generator]]:
    """Yield the input of the first block and the image-shaped outputs of all."""
    generator = Generator().manual_seed(seed)
    features: list[Tensor] = []

    def look_in(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        images = [x for x in inputs if isinstance(x, Tensor) and x.dim() == 4]
        if images and not features:
            features.append(images[-1])  # a cell with two inputs takes the younger one last

    def look_out(_module: nn.Module, _inputs: object, output: object) -> Any:
        if isinstance(output, Tensor) and output.dim() == 4:
            features.append(output)
            # What follows may work in place.
            return output.clone() if gradients else None
        return None

    with preserved(network), torch.set_grad_enabled(gradients):
        network.train()
        if weights == "kaiming":
            draw_weights(network, "kaiming", generator)
        for member in blocks(network):
            member.register_forward_pre_hook(look_in)
            member.register_forward_hook(look_out)
        network(images_for(network, batch, images, generator).requires_grad_(gradients))
        yield features, generator


def _entropy(feature: Tensor) -> float:
    rows = feature.detach().double().movedim(1, -1).flatten(0, 2)
    rows = rows - rows.mean(0)
    covariance = rows.T @ rows / len(rows)
    if not bool(covariance.isfinite().all()):
        return math.nan
    eigenvalues = torch.linalg.eigvalsh(covariance).clamp_min(0)
    shares = eigenvalues / eigenvalues.sum()
    return float(-(shares * (shares + 1e-8).log()).sum())


def _block_trainability(inner: Tensor, outer: Tensor, generator: Generator) -> float:
    draws = torch.randint(0, 2, outer.shape, generator=generator)
    signs = (2 * draws - 1).to(outer)
    if not outer.requires_grad or not inner.requires_grad:
        return -math.inf
    (back,) = torch.autograd.grad(
        outer, inner, signs, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    if back.shape == signs.shape and bool((back == signs).all()):
        return -math.inf
    stride = back.shape[-1] // signs.shape[-1]
    if stride > 1:
        back = functional.pixel_unshuffle(back, stride)
    matrix = (
        back.movedim(1, -1).flatten(0, 2).double().T @ signs.movedim(1, -1).flatten(0, 2).double()
    )
    matrix = matrix / (signs.numel() / signs.shape[1])
    if not bool(matrix.isfinite().all()):
        return -math.inf
    largest = float(torch.linalg.svdvals(matrix)[0])
    return 2 - largest - 1 / (largest + 1e-6) if largest > 0 else -math.inf


class AzNas(Proxy):
    """One of the proxies of AZ-NAS.

    Args:
        measure: ``az_expressivity``, ``az_progressivity`` or ``az_trainability``.
        options: Its arguments.
        needs_gradients: Whether it runs a backward pass.
    """

    def __init__(
        self,
        measure: Callable[..., float],
        options: AzNasOptions,
        *,
        needs_gradients: bool = False,
    ) -> None:
        self._measure = measure
        self._options = options
        self.needs_data = options.images == "batch"
        self.needs_gradients = needs_gradients

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the measure."""
        return self._measure(network, batch, **self._options.model_dump())


AzExpressivity = partial(AzNas, az_expressivity)
AzProgressivity = partial(AzNas, az_progressivity)
AzTrainability = partial(AzNas, az_trainability, needs_gradients=True)
