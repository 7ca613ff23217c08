"""Gradient signal preservation: a second-order proxy."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from balenas_core.interfaces.proxy import Batch, Proxy
from balenas_core.scores.probing import Loss, batch_for, layer_weights, preserved, score_or_worst
from balenas_proxy_zerocost._gradients import differentiate, is_zero, pairs, total
from balenas_proxy_zerocost.options import GraspOptions


def grasp(
    network: nn.Module,
    batch: Batch,
    loss: Loss = functional.cross_entropy,
    *,
    temperature: float = 1.0,
) -> float:
    """Return how much the gradient's norm would suffer from removing the weights.

    ``-sum over weights w of w * (H g)_w``, ``g`` the gradient and ``H`` the Hessian of the loss
    of the logits divided by ``temperature``, over convolutions and linear layers. ``-inf`` if
    the gradient is zero in every weight.

    Args:
        network: The network, untouched afterwards.
        batch: Images and labels.
        loss: (logits, labels) -> scalar.
        temperature: Divides the logits; 1 as in the proxy's code, 200 in the paper.

    References:
        Wang, Zhang, Grosse, 2020, Picking winning tickets before training (GraSP); sign,
        temperature 1 and one batch as in Abdelfattah et al., 2021, Zero-cost proxies for
        lightweight NAS (released code). Deviations: one forward pass where that code runs two
        equal ones; a network without gradient ranks last instead of scoring 0.
    """
    with preserved(network):
        network.train()
        batch = batch_for(network, batch)
        weights = layer_weights(network)
        logits = network(batch.images) / temperature
        gradients = differentiate(loss(logits, batch.labels), weights, create_graph=True)
        if is_zero(gradients):
            return -math.inf
        product = torch.stack(
            [(g.detach() * g).sum() for g in gradients if g is not None and g.requires_grad]
            or [weights[0].new_zeros(())]
        ).sum()
        curvature = differentiate(product, weights)
        return score_or_worst(-total(w.detach() * h for w, h in pairs(weights, curvature)))


class Grasp(Proxy):
    """The ``grasp`` proxy; see ``grasp``."""

    needs_labels = True
    needs_gradients = True

    def __init__(self, options: GraspOptions) -> None:
        self._options = options

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return minus the sum of weight times Hessian-gradient product."""
        return grasp(network, batch, temperature=self._options.temperature)
