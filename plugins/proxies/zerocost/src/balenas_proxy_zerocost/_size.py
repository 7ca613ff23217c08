"""Proxies that only look at the size of a network: the baselines to beat."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from balenas_core.interfaces.proxy import Batch, Proxy
from balenas_core.scores.description import count_multiply_adds
from balenas_core.scores.probing import layer_weights, preserved, score_or_worst
from balenas_proxy_zerocost.options import ParamsOptions


def params(network: nn.Module, batch: Batch, *, alive: bool = False) -> float:
    """Return the number of parameters, each counted once.

    Args:
        network: The network, untouched afterwards.
        batch: Only the shape of its images is used, and only by ``alive``.
        alive: Whether to leave out modules that are on no path from the input to the output.
            A module is alive if the sum of the outputs for an image of ones depends on its
            input through its ``weight``, when every weight is positive and normalisations
            only scale. A module with parameters but no ``weight`` counts as alive.
    """
    if not alive:
        return float(sum(p.numel() for p in network.parameters()))
    dead = _dead_modules(network, batch)
    counted = {
        id(p): p.numel()
        for module in network.modules()
        if module not in dead
        for p in module.parameters(recurse=False)
    }
    return float(sum(counted.values()))


def _dead_modules(network: nn.Module, batch: Batch) -> set[nn.Module]:
    with preserved(network, dtype=torch.float64):
        network.eval()
        layers = {
            module: module.weight
            for module in network.modules()
            if isinstance(getattr(module, "weight", None), Tensor)
        }
        with torch.no_grad():
            for parameter in network.parameters():
                # The mean of its inputs times one: no overflow, however deep.
                parameter.fill_(1 / max(parameter[0].numel(), 1) if parameter.dim() > 1 else 1)
            for layer in layers:
                if isinstance(layer.bias, Tensor):
                    layer.bias.zero_()  # a constant is no path from the input
        for layer in layers:
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                vars(layer)["forward"] = _scale_by(layer.weight)
        weights = [weight for weight in layers.values() if isinstance(weight, Tensor)]
        device = weights[0].device if weights else batch.images.device
        ones = torch.ones((1, *batch.images.shape[1:]), dtype=torch.float64, device=device)
        output = network(ones).sum()
        if not output.requires_grad:
            return set(layers)
        gradients = torch.autograd.grad(output, weights, allow_unused=True, materialize_grads=True)
    return {m for m, g in zip(layers, gradients, strict=True) if not bool((g != 0).any())}


class _scale_by:
    """Multiply each channel by a weight."""

    def __init__(self, weight: Tensor) -> None:
        self._weight = weight

    def __call__(self, x: Tensor) -> Tensor:
        return x * self._weight.view(1, -1, *(1,) * (x.dim() - 2))


def flops(network: nn.Module, batch: Batch) -> float:
    """Return the multiply-adds for one image; see ``balenas_core.scores.description``.

    Only the shape of the batch's images is used.
    """
    return float(count_multiply_adds(network, tuple(batch.images.shape[1:])))


def l2_norm(network: nn.Module) -> float:
    """Return the sum over convolutions and linear layers of the 2-norm of the weight.

    References:
        Abdelfattah et al., 2021, Zero-cost proxies for lightweight NAS (released code).
    """
    norms = [float(w.detach().double().norm()) for w in layer_weights(network)]
    return score_or_worst(math.fsum(norms))


class Params(Proxy):
    """The ``params`` proxy; see ``params``."""

    needs_data = False

    def __init__(self, options: ParamsOptions) -> None:
        self._options = options

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the number of parameters."""
        return params(network, batch, alive=self._options.alive)


class Flops(Proxy):
    """The ``flops`` proxy; see ``flops``."""

    needs_data = False

    def __init__(self, options: None = None) -> None:
        pass

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the number of multiply-adds."""
        return flops(network, batch)


class L2Norm(Proxy):
    """The ``l2_norm`` proxy; see ``l2_norm``."""

    needs_data = False

    def __init__(self, options: None = None) -> None:
        pass

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the sum of the weights' norms."""
        return l2_norm(network)
