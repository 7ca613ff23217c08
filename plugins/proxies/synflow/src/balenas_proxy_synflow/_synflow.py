"""SynFlow by autograd."""

from __future__ import annotations

import logging
import math
from typing import Literal

import torch
from torch import Tensor, nn

from balenas_core.interfaces.proxy import Batch, Proxy
from balenas_core.scores.probing import (
    bypass_batch_norm,
    layer_weights,
    preserved,
)
from balenas_proxy_synflow import SynflowOptions
from balenas_proxy_synflow._scaled import NotMonotoneError, Scaled, plain, scaled
from balenas_proxy_synflow._score import finish

_log = logging.getLogger(__name__)


def synflow(
    network: nn.Module,
    batch: Batch,
    *,
    bn: Literal["bypass", "keep"] = "bypass",
    log: bool = False,
    dtype: torch.dtype = torch.float64,
    method: Literal["auto", "autograd"] = "auto",
) -> float:
    """Return the synaptic flow through a network.

    ``sum over weights w of |w| * dR/d|w|``, where ``R`` is the sum of the outputs for one
    image of ones when every parameter and buffer is replaced by its absolute value. The sum
    is over the weights of convolutions and linear layers; biases and normalisations are left
    out of it. Only the shape of the batch's images is used.

    The score is at least 0, and 0, the lowest, for a network whose output does not depend on
    its weights. It grows exponentially with depth: about 1e50 for a NAS-Bench-201 network of
    standard size. Beyond the range of float64 it is ``-inf``; its logarithm is not, as long as
    the faster of the two ways below is open.

    By the chain rule the sum is the derivative of ``R`` in a common factor of all weights, if no
    ``dR/d|w|`` is negative. ``method="auto"`` carries that derivative forward beside the value,
    without a graph, in half the time and with powers of two taken out where numbers grow large.
    It needs ``bn="bypass"`` and a network of convolutions, linear layers, pooling, sums,
    products (gates), concatenations and activations that do not fall on positive numbers (ReLU,
    SiLU, GELU, sigmoid and the like); any other goes by autograd, with the same result up to
    rounding.

    Args:
        network: The network, untouched afterwards.
        batch: `batch x channels x height x width`-dim images.
        bn: ``"bypass"`` lets batch normalisations pass their input on; ``"keep"`` runs them
            in training mode on the single image.
        log: Whether to return the natural logarithm, ``-inf`` for a score of 0.
        dtype: Floating-point type of the computation.
        method: ``"autograd"`` always goes by the definition.

    References:
        Tanaka, Kunin, Yamins, Ganguli, 2020, Pruning neural networks without any data by
        iteratively conserving synaptic flow. Abdelfattah et al., 2021, Zero-cost proxies for
        lightweight NAS (released code: sum over a network; float64; ``bn="keep"`` is its
        synflow_bn). Deviations: parts of the network that act differently in training
        (dropout) are in evaluation mode when ``bn="bypass"``.
    """
    if bn not in ("bypass", "keep"):
        raise ValueError(f"`bn` must be 'bypass' or 'keep'; got {bn!r}")
    with preserved(network, dtype=dtype):
        _take_absolute_values(network)
        network.train(bn == "keep")
        if bn == "bypass":
            bypass_batch_norm(network)
        weight = next(iter(layer_weights(network)), None)
        if weight is None:
            return -math.inf if log else 0.0
        shape = batch.images.shape[1:]
        ones = torch.ones((1, *shape), dtype=dtype, device=weight.device)
        if bn == "bypass" and method == "auto":
            try:
                return finish(*_flow_forward(network, ones), log=log)
            except NotMonotoneError as reason:
                _log.debug("synflow goes by autograd: %s", reason)
        return finish(_flow_by_autograd(network, ones), 0, log=log)


def _take_absolute_values(network: nn.Module) -> None:
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.is_floating_point():
                tensor.abs_()


def _flow_forward(network: nn.Module, ones: Tensor) -> tuple[float, int]:
    with torch.no_grad():
        # The image does not depend on the weights: its derivative is 0.
        outputs = network(scaled(torch.cat([ones, torch.zeros_like(ones)])))
        if not isinstance(outputs, Scaled):
            raise NotMonotoneError("an output that does not depend on the input")
        return float(plain(outputs)[1].sum()), outputs.exponent


def _flow_by_autograd(network: nn.Module, ones: Tensor) -> float:
    weights = layer_weights(network)
    flow = network(ones).sum()
    if not flow.requires_grad:
        return 0.0
    gradients = torch.autograd.grad(flow, weights, allow_unused=True, materialize_grads=True)
    terms = [(w.detach() * g).abs().sum() for w, g in zip(weights, gradients, strict=True)]
    return float(torch.stack(terms).sum())


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
        return synflow(
            network, batch, bn=options.bn, log=options.log, dtype=dtype, method=options.method
        )
