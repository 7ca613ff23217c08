"""SynFlow in closed form: its expectation over random weights, without drawing any."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from balenas_core.errors import UsageError
from balenas_core.interfaces.proxy import Batch, Proxy
from balenas_proxy_synflow import ClosedFormOptions
from balenas_proxy_synflow._scaled import Law, NotMonotoneError, Scaled, plain, scaled
from balenas_proxy_synflow._score import finish

Weights = Literal["torch", "kaiming", "given"]


def synflow_closed_form(
    network: nn.Module, batch: Batch, *, weights: Weights = "torch", log: bool = False
) -> float:
    """Return the expectation of ``synflow`` over a network's random weights.

    Along a path every weight is drawn independently of the others, so the expectation only
    needs the mean absolute weight of each layer, and all channels have the same: one channel
    of means goes through the network, with its derivative in a common factor of the weights.
    No weight is drawn or read (but for ``weights="given"``), no graph is built, and the cost
    does not depend on the number of channels. Batch normalisation is passed by.

    Exact for convolutions, linear layers, ReLUs, average pooling, sums and concatenations.
    What is not linear takes the means of its arguments for the arguments: max pooling (the
    maximum of means is less than the mean of maxima), products (gates) and activations that
    curve on positive numbers, such as SiLU. Some of the channels that were put together of
    others count as the mean of all.

    Args:
        network: The network, untouched afterwards.
        batch: Only the shape of its images is used.
        weights: ``"torch"`` for its default initialisation (uniform up to ``1 / sqrt(fan_in)``,
            biases too), ``"kaiming"`` for normal ones of variance ``2 / fan_in`` without biases,
            ``"given"`` for the mean absolute weights of the network.
        log: Whether to return the natural logarithm, ``-inf`` for a score of 0.

    Raises:
        UsageError: The network does something else, such as layer normalisation or attention.

    References:
        Tanaka et al., 2020, for the score; the expectation is this project's.
    """
    law = _LAWS[weights]
    channels = batch.images.shape[1]
    with _evaluating(network), torch.inference_mode(False), torch.no_grad():
        image = torch.zeros((2, 1, *batch.images.shape[2:]), dtype=torch.float64)
        image[0] = 1
        try:
            outputs = network(scaled(image, channels=channels, law=law))
        except NotMonotoneError as reason:
            raise UsageError(
                f"synflow has no closed form for this network, which has {reason}; "
                f"use 'synflow' instead."
            ) from None
    if not isinstance(outputs, Scaled):
        return finish(0.0, 0, log=log)
    derivative = plain(outputs)[1]
    return finish(float(derivative.mean()) * outputs.channels, outputs.exponent, log=log)


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _torch_law(weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
    mean = torch.tensor(0.5 / math.sqrt(weight[0].numel()), dtype=torch.float64)
    return mean, None if bias is None else mean


def _kaiming_law(weight: Tensor, _bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
    # The mean absolute value of a normal number is sqrt(2 / pi) of its deviation.
    mean = math.sqrt(2 / weight[0].numel()) * math.sqrt(2 / math.pi)
    return torch.tensor(mean, dtype=torch.float64), None


def _given_law(weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
    mean_bias = None if bias is None else bias.double().abs().mean().cpu()
    return weight.double().abs().mean().cpu(), mean_bias


_LAWS: dict[str, Law] = {"torch": _torch_law, "kaiming": _kaiming_law, "given": _given_law}


class SynflowClosedForm(Proxy):
    """The ``synflow_closed_form`` proxy; see ``synflow_closed_form``."""

    needs_data = False

    def __init__(self, options: ClosedFormOptions) -> None:
        self._options = options

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the expectation of the synaptic flow."""
        options = self._options
        return synflow_closed_form(network, batch, weights=options.weights, log=options.log)
