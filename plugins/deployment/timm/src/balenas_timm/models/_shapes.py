"""Channels and sizes of features."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch

from balenas_core.nn import StagedNetwork

_SIDE = 64
"""Side of the image that is sent through, so that reductions up to 64 show."""


@dataclass(frozen=True, slots=True)
class FeatureShapes:
    """Shapes of a network's features.

    Args:
        stages: Channels and reduction of the image after each stage.
        channels: Channels of the last features.
        size: Height and width of the last features, for an image of the given size.
    """

    stages: tuple[tuple[int, int], ...]
    channels: int
    size: tuple[int, int]


def feature_shapes(
    network: StagedNetwork, in_chans: int, image_size: tuple[int, int]
) -> FeatureShapes:
    """Return the shapes of a network's features.

    Args:
        network: The network, in training mode.
        in_chans: Channels of an image.
        image_size: Height and width of an image.
    """
    like = next(network.parameters())
    image = torch.zeros((1, in_chans, _SIDE, _SIDE), device=like.device, dtype=like.dtype)
    with torch.no_grad():
        network.eval()
        blocks = [x.shape for x in network.forward_blocks(image)]
        last = network.last_features(torch.zeros(blocks[-1]).to(image)).shape
        network.train()
    ends = [end - 1 for end in itertools.accumulate(map(len, network.stages))]
    stages = tuple((blocks[end][1], round(_SIDE / blocks[end][2])) for end in ends)
    reduction = round(_SIDE / last[2])
    height, width = (math.ceil(side / reduction) for side in image_size)
    return FeatureShapes(stages, last[1], (height, width))
