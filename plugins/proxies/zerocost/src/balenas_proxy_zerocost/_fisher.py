"""Fisher information of activations."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

from balenas_core.interfaces.proxy import Batch
from balenas_core.scores.network_pass import NetworkPass, PassProxy, score_pass
from balenas_core.scores.probing import Loss, score_or_worst, weight_layers
from balenas_proxy_zerocost._gradients import total


def fisher(network: nn.Module, batch: Batch, loss: Loss = functional.cross_entropy) -> float:
    """Return the total Fisher information of the channels of a network's activations.

    ``sum over layers, channels c of n_c * 1/2 * mean over images of (sum over space of
    a_c * dL/da_c)^2``, where ``a`` is the output of a convolution or linear layer (before any
    normalisation) and ``n_c`` the number of weights that feed channel ``c``.

    References:
        Turner et al., 2020, BlockSwap, equations 2 and 3. The factor ``n_c``, the place of the
        activations and the sum over the network are those of Abdelfattah et al., 2021,
        Zero-cost proxies for lightweight NAS (released code). Deviations: none.
    """
    return score_pass(network, batch, _attach_fisher, loss=loss)


def _attach_fisher(run: NetworkPass) -> Callable[[], float]:
    seen: list[tuple[nn.Module, Tensor, int]] = []

    def look(layer: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        seen.append((layer, output, run.tap(output)))
        return output.clone()  # what follows may work in place

    for layer in weight_layers(run.network):
        layer.register_forward_hook(look)

    def finish() -> float:
        terms = []
        for layer, output, number in seen:
            gradient = run.tap_gradient(number)
            weight = layer.weight
            assert isinstance(weight, Tensor)
            if gradient is not None:
                information = _channel_information(output.detach() * gradient, layer)
                terms.append(information.sum() * weight[0].numel())
        return score_or_worst(total(terms))

    return finish


def _channel_information(product: Tensor, layer: nn.Module) -> Tensor:
    """Return half the mean over images of the squared sum over space, for each channel."""
    if isinstance(layer, nn.Linear):
        product = product.movedim(-1, 1)  # channels are its last dimension
    channels = product.flatten(2).sum(2) if product.dim() > 2 else product
    return channels.square().mean(0) / 2


class Fisher(PassProxy):
    """The ``fisher`` proxy; see ``fisher``."""

    needs_labels = True
    needs_gradients = True

    def __init__(self, options: None = None) -> None:
        pass

    def attach(self, run: NetworkPass) -> Callable[[], float]:
        """Ask for the gradient in the outputs of the layers."""
        return _attach_fisher(run)
