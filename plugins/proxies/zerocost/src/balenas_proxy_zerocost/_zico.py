"""Gradients against their spread over batches."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from balenas_core.interfaces.proxy import Batch, Proxy
from balenas_core.scores.probing import Loss, batch_for, layer_weights, preserved, score_or_worst
from balenas_proxy_zerocost._gradients import differentiate
from balenas_proxy_zerocost.options import ZicoOptions


def zico(
    network: nn.Module, batches: Sequence[Batch], loss: Loss = functional.cross_entropy
) -> float:
    """Return how large gradients are against their spread over batches.

    ``sum over layers l of log( sum over weights of mean_k |g_k| / std_k g_k )``, ``g_k`` the
    gradient of batch ``k``, ``std`` without Bessel's correction, over convolutions and linear
    layers. Weights with a spread of exactly 0 are left out, and so are layers without others.
    At least 0, and 0, the lowest, for a network without gradient.

    Args:
        network: The network, untouched afterwards.
        batches: At least two.
        loss: (logits, labels) -> scalar.

    Raises:
        ValueError: Fewer than two batches.

    References:
        Li, Yang, Bhardwaj, Marculescu, 2023, ZiCo, equation 15. Deviation: gradients are those
        of each batch, as in the paper; the released code lets them add up over batches.
    """
    if len(batches) < 2:
        raise ValueError(
            f"zico compares gradients of at least two batches; got {len(batches)}. "
            "Give a larger batch or fewer parts."
        )
    with preserved(network):
        network.train()
        weights = layer_weights(network)
        gradients = [
            differentiate(loss(network(one.images), one.labels), weights)
            for one in (batch_for(network, batch) for batch in batches)
        ]
        layers = zip(*gradients, strict=True)
        return score_or_worst(sum(_zico_of_layer(list(layer)) for layer in layers))


def _zico_of_layer(gradients: Sequence[Tensor | None]) -> float:
    given = [g for g in gradients if g is not None]
    if len(given) < len(gradients):
        return 0.0
    stacked = torch.stack(given)
    spread = stacked.std(dim=0, correction=0)
    kept = spread != 0
    total = float((stacked.abs().mean(dim=0)[kept] / spread[kept]).sum())
    # NaN is kept, for the caller to see.
    return math.log(total) if total > 0 else 0.0 if total == 0 else math.nan


class Zico(Proxy):
    """The ``zico`` proxy; see ``zico``. The batch is cut into parts of equal size."""

    needs_labels = True
    needs_gradients = True

    def __init__(self, options: ZicoOptions) -> None:
        self._options = options

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the log ratio of the gradients' mean to their spread over the parts."""
        parts = min(self._options.parts, len(batch.images))
        size = len(batch.images) // parts
        return zico(
            network,
            [
                Batch(
                    batch.images[i * size : (i + 1) * size], batch.labels[i * size : (i + 1) * size]
                )
                for i in range(parts)
            ],
        )
