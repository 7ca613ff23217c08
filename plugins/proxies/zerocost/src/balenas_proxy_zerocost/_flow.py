"""The logarithmic form of SynFlow."""

from __future__ import annotations

import torch
from torch import Generator, nn

from balenas_core.interfaces.proxy import Batch, Proxy
from balenas_core.scores.probing import bypass_batch_norm, layer_weights, preserved, score_or_worst
from balenas_proxy_zerocost._draws import draw_weights
from balenas_proxy_zerocost.options import LogsynflowOptions


def logsynflow(network: nn.Module, batch: Batch, *, repeats: int = 0, seed: int = 0) -> float:
    """Return SynFlow with logarithms of the gradients, which tames its growth with depth.

    ``sum over weights w of |w| * log(1 + dR/d|w|)``, ``R`` as in ``synflow``: the sum of the
    outputs for one image of ones, absolute weights and no batch normalisation, in float64.
    Convolutions and linear layers. At least 0, and 0, the lowest, without flow.

    Args:
        network: The network, untouched afterwards.
        batch: Only the shape of its images is used.
        repeats: Number of fresh Kaiming-normal weights to average over; 0 takes those given.
        seed: Seed of fresh weights.

    References:
        Cavagnero, Robbiano, Caputo, Averta, 2023, FreeREA. Its code averages 3 fresh
        Kaiming-normal weights: ``repeats=3``. Deviation: by default the weights given.
    """
    generator = Generator().manual_seed(seed)
    with preserved(network, dtype=torch.float64):
        network.eval()
        bypass_batch_norm(network)
        scores = []
        for _ in range(max(repeats, 1)):
            if repeats:
                draw_weights(network, "kaiming", generator)
            scores.append(_logsynflow(network, batch))
    return score_or_worst(sum(scores) / len(scores))


def _logsynflow(network: nn.Module, batch: Batch) -> float:
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.is_floating_point():
                tensor.abs_()
    weights = layer_weights(network)
    if not weights:
        return 0.0
    ones = torch.ones((1, *batch.images.shape[1:]), dtype=torch.float64, device=weights[0].device)
    flow = network(ones).sum()
    if not flow.requires_grad:
        return 0.0
    gradients = torch.autograd.grad(flow, weights, materialize_grads=True, allow_unused=True)
    terms = [(w.detach() * g.log1p()).abs().sum() for w, g in zip(weights, gradients, strict=True)]
    return float(torch.stack(terms).sum())


class Logsynflow(Proxy):
    """The ``logsynflow`` proxy; see ``logsynflow``."""

    needs_data = False
    needs_gradients = True

    def __init__(self, options: LogsynflowOptions) -> None:
        self._options = options

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the logarithmic flow."""
        return logsynflow(network, batch, repeats=self._options.repeats)
