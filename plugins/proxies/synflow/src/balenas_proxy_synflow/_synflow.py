"""SynFlow by autograd."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import nn

from balenas_core.probing import (
    bypass_batch_norm,
    layer_weights,
    preserved,
    score_or_worst,
)
from balenas_core.proxy import Batch, Proxy
from balenas_proxy_synflow import SynflowOptions


def synflow(
    network: nn.Module,
    batch: Batch,
    *,
    bn: Literal["bypass", "keep"] = "bypass",
    log: bool = False,
    dtype: torch.dtype = torch.float64,
) -> float:
    """Return the synaptic flow through a network.

    ``sum over weights w of |w| * dR/d|w|``, where ``R`` is the sum of the outputs for one
    image of ones when every parameter and buffer is replaced by its absolute value. The sum
    is over the weights of convolutions and linear layers; biases and normalisations are left
    out of it. Only the shape of the batch's images is used.

    The score is at least 0, and 0, the lowest, for a network whose output does not depend on
    its weights. It grows exponentially with depth: about 1e50 for a NAS-Bench-201 network of
    standard size, beyond the range of float32 (1e38). Beyond the range of ``dtype`` it is
    ``-inf``.

    Args:
        network: The network, untouched afterwards.
        batch: `batch x channels x height x width`-dim images.
        bn: ``"bypass"`` lets batch normalisations pass their input on; ``"keep"`` runs them
            in training mode on the single image.
        log: Whether to return the natural logarithm, ``-inf`` for a score of 0.
        dtype: Floating-point type of the computation.

    References:
        Tanaka, Kunin, Yamins, Ganguli, 2020, Pruning neural networks without any data by
        iteratively conserving synaptic flow, equation 2. Abdelfattah et al., 2021,
        Zero-cost proxies for lightweight NAS, section 3.2 (sum over a network; float64;
        ``bn="keep"`` is its synflow_bn). Deviations: parts of the network that act
        differently in training (dropout) are in evaluation mode when ``bn="bypass"``.
    """
    if bn not in ("bypass", "keep"):
        raise ValueError(f"`bn` must be 'bypass' or 'keep'; got {bn!r}")
    with preserved(network, dtype=dtype):
        with torch.no_grad():
            for tensor in (*network.parameters(), *network.buffers()):
                tensor.abs_()
        network.train(bn == "keep")
        if bn == "bypass":
            bypass_batch_norm(network)
        weights = layer_weights(network)
        device = weights[0].device if weights else batch.images.device
        ones = torch.ones((1, *batch.images.shape[1:]), dtype=dtype, device=device)
        flow = network(ones).sum()
        if not weights or not flow.requires_grad:
            return -math.inf if log else 0.0
        gradients = torch.autograd.grad(flow, weights, allow_unused=True)
        terms = [
            (weight.detach() * gradient).abs().sum()
            for weight, gradient in zip(weights, gradients, strict=True)
            if gradient is not None
        ]
        score = float(torch.stack(terms).sum()) if terms else 0.0
    if log:
        return score_or_worst(math.log(score)) if score > 0 else -math.inf
    return score_or_worst(score)


class Synflow(Proxy):
    """The ``synflow`` proxy; see ``synflow``."""

    needs_data = False
    needs_gradients = True

    def __init__(self, options: SynflowOptions) -> None:
        self._options = options

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the synaptic flow through ``network``."""
        options = self._options
        dtype = torch.float64 if options.dtype == "float64" else torch.float32
        return synflow(network, batch, bn=options.bn, log=options.log, dtype=dtype)
