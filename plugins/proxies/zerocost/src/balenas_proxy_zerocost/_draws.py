"""Fresh weights and random inputs from an explicit generator."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn

from balenas_core.interfaces.proxy import Batch
from balenas_core.scores.probing import batch_for, weight_layers


def normal(shape: tuple[int, ...], like: Tensor, generator: Generator) -> Tensor:
    """Draw standard-normal numbers, the same for every type and device of ``like``."""
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(like)


@torch.no_grad()
def draw_weights(network: nn.Module, kind: str, generator: Generator) -> None:
    """Give convolutions and linear layers fresh weights; only inside ``preserved``.

    ``"gaussian"`` has variance 1, ``"kaiming"`` variance 2 / fan-in. Biases become 0, and the
    weights of batch and group normalisations 1.
    """
    for layer in weight_layers(network):
        weight = layer.weight
        assert isinstance(weight, Tensor)
        gain = math.sqrt(2 / weight[0].numel()) if kind == "kaiming" else 1.0
        weight.copy_(normal(tuple(weight.shape), weight, generator) * gain)
        if isinstance(layer.bias, Tensor):
            layer.bias.zero_()
    for layer in network.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm | nn.GroupNorm):
            if layer.weight is not None:
                layer.weight.fill_(1)
            if layer.bias is not None:
                layer.bias.zero_()


def images_for(network: nn.Module, batch: Batch, kind: str, generator: Generator) -> Tensor:
    """Return the batch's images, or standard-normal ones of their shape for ``"gaussian"``."""
    images = batch_for(network, batch).images
    return images if kind == "batch" else normal(tuple(images.shape), images, generator)
