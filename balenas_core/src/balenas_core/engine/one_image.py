"""Whether a network can be trained on one image at a time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from balenas_core.errors import UsageError
from balenas_core.scores.probing import preserved


def check_one_image(
    network: nn.Module,
    image_shape: tuple[int, int, int],
    forward: Callable[[Tensor], object],
    *,
    advice: str,
) -> None:
    """Check that batch normalisation has something to average over in a batch of one image.

    Where a layer of a network sees 1x1 pixels, it has one value for each channel: its variance
    is zero whatever the image, and torch refuses to train. The network is left as it is.

    Args:
        network: The network.
        image_shape: Channels, height and width.
        forward: Runs the network on images.
        advice: What to set instead, for the message.

    Raises:
        UsageError: A layer sees a single value.
    """
    like = next(network.parameters())
    image = torch.zeros(1, *image_shape, device=like.device, dtype=like.dtype)
    with preserved(network):
        network.train()
        try:
            with torch.no_grad():
                forward(image)
        except ValueError as error:
            if not str(error).startswith("Expected more than 1 value per channel"):
                raise
            raise UsageError(
                f"the network cannot be trained on one image at a time: inside of it, one of "
                f"{' x '.join(map(str, image_shape))} becomes a single pixel, and batch "
                f"normalisation a division of zero by zero. {advice}"
            ) from error
