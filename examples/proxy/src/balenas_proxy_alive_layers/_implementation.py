"""Counts the layers on which the logits depend."""

from __future__ import annotations

import torch
from balenas_core import Batch, Proxy
from balenas_core.scores.probing import batch_for, layer_weights, preserved
from torch import nn

from balenas_proxy_alive_layers import Options


class AliveLayers(Proxy):
    """How many convolutions and linear layers have a gradient; those of no use have none."""

    needs_gradients = True

    def __init__(self, options: Options) -> None:
        self._options = options

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the number of layers that are alive; fewer where an image reaches nothing."""
        with preserved(network):  # puts weights, modes, hooks and gradients back
            weights = layer_weights(network)
            images = batch_for(network, batch).images.requires_grad_()
            logits = network(images).square().sum()
            of_images, *gradients = torch.autograd.grad(
                logits, [images, *weights], allow_unused=True
            )
        if of_images is None or not bool(of_images.any()):
            return 0.0
        return float(
            sum(g is not None and g.norm().item() > self._options.smallest for g in gradients)
        )
