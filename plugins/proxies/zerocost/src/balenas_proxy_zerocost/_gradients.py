"""Proxies made of the loss's gradient in the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from balenas_core.network_pass import NetworkPass, PassProxy, score_pass
from balenas_core.probing import (
    Loss,
    batch_for,
    layer_weights,
    preserved,
    score_or_worst,
    weight_layers,
)
from balenas_core.proxy import Batch, Proxy
from balenas_proxy_zerocost.options import GraspOptions, ZicoOptions


def snip(network: nn.Module, batch: Batch, loss: Loss = functional.cross_entropy) -> float:
    """Return the total connection sensitivity of a network's weights.

    ``sum over weights w of |w * dL/dw|``, over convolutions and linear layers. At least 0,
    and 0, the lowest, if the loss depends on none of them.

    References:
        Lee, Ajanthan, Torr, 2019, SNIP, equation 5, without its normalisation to 1, which would
        make all networks equal; the gradient in a mask of ones is ``w * dL/dw``. Summed over
        a network as in Abdelfattah et al., 2021, Zero-cost proxies for lightweight NAS,
        section 3.2.
    """
    return score_pass(network, batch, _attach_snip, loss=loss)


def plain(network: nn.Module, batch: Batch, loss: Loss = functional.cross_entropy) -> float:
    """Return the signed sum of weight times gradient: nearly noise, offered as a control.

    ``sum over weights w of w * dL/dw``, over convolutions and linear layers. ``-inf`` if the
    gradient is zero in every weight.

    References:
        Abdelfattah et al., 2021, Zero-cost proxies for lightweight NAS (released code).
        Deviation: a network without gradient ranks last instead of scoring 0.
    """
    return score_pass(network, batch, _attach_plain, loss=loss)


def grad_norm(network: nn.Module, batch: Batch, loss: Loss = functional.cross_entropy) -> float:
    """Return the sum over layers of the 2-norm of the gradient in the layer's weight.

    ``sum over layers l of ||dL/dW_l||_2``, over convolutions and linear layers. At least 0,
    and 0, the lowest, if the loss depends on none of them.

    References:
        Abdelfattah et al., 2021, Zero-cost proxies for lightweight NAS, section 3.1. (Other
        codes take one norm over all parameters: another number.)
    """
    return score_pass(network, batch, _attach_grad_norm, loss=loss)


def fisher(network: nn.Module, batch: Batch, loss: Loss = functional.cross_entropy) -> float:
    """Return the total Fisher information of the channels of a network's activations.

    ``sum over layers, channels c of n_c * 1/2 * mean over images of (sum over space of
    a_c * dL/da_c)^2``, where ``a`` is the output of a convolution or linear layer (before any
    normalisation) and ``n_c`` the number of weights that feed channel ``c``.

    References:
        Turner et al., 2020, BlockSwap, equation 3. The factor ``n_c``, the place of the
        activations and the sum over the network are those of Abdelfattah et al., 2021,
        Zero-cost proxies for lightweight NAS (released code). Deviations: none.
    """
    return score_pass(network, batch, _attach_fisher, loss=loss)


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
        Wang, Zhang, Grosse, 2020, Picking winning tickets before training, equation 8; sign,
        temperature 1 and one batch as in Abdelfattah et al., 2021, Zero-cost proxies for
        lightweight NAS (released code). Deviations: one forward pass where that code runs two
        equal ones; a network without gradient ranks last instead of scoring 0.
    """
    with preserved(network):
        network.train()
        batch = batch_for(network, batch)
        weights = layer_weights(network)
        logits = network(batch.images) / temperature
        gradients = _differentiate(loss(logits, batch.labels), weights, create_graph=True)
        if _is_zero(gradients):
            return -math.inf
        product = torch.stack(
            [(g.detach() * g).sum() for g in gradients if g is not None and g.requires_grad]
            or [weights[0].new_zeros(())]
        ).sum()
        curvature = _differentiate(product, weights)
        return score_or_worst(-_sum(w.detach() * h for w, h in _pairs(weights, curvature)))


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
        Li, Yang, Bhardwaj, Marculescu, 2023, ZiCo, equation 14. Deviation: gradients are those
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
            _differentiate(loss(network(one.images), one.labels), weights)
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


def _attach_snip(run: NetworkPass) -> Callable[[], float]:
    return lambda: score_or_worst(
        _sum((w.detach() * g).abs() for w, g in _pairs(run.weights, run.weight_gradients))
    )


def _attach_plain(run: NetworkPass) -> Callable[[], float]:
    def finish() -> float:
        if _is_zero(run.weight_gradients):
            return -math.inf
        pairs = _pairs(run.weights, run.weight_gradients)
        return score_or_worst(_sum(w.detach() * g for w, g in pairs))

    return finish


def _attach_grad_norm(run: NetworkPass) -> Callable[[], float]:
    return lambda: score_or_worst(
        _sum(g.norm() for _, g in _pairs(run.weights, run.weight_gradients))
    )


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
        return score_or_worst(_sum(terms))

    return finish


def _channel_information(product: Tensor, layer: nn.Module) -> Tensor:
    """Return half the mean over images of the squared sum over space, for each channel."""
    if isinstance(layer, nn.Linear):
        product = product.movedim(-1, 1)  # channels are its last dimension
    channels = product.flatten(2).sum(2) if product.dim() > 2 else product
    return channels.square().mean(0) / 2


def _differentiate(
    output: Tensor, inputs: list[Tensor], *, create_graph: bool = False
) -> tuple[Tensor | None, ...]:
    if not inputs or not output.requires_grad:
        return tuple(None for _ in inputs)
    return torch.autograd.grad(output, inputs, create_graph=create_graph, allow_unused=True)


def _pairs(
    weights: Sequence[Tensor], gradients: Sequence[Tensor | None]
) -> list[tuple[Tensor, Tensor]]:
    return [(w, g) for w, g in zip(weights, gradients, strict=True) if g is not None]


def _is_zero(gradients: Sequence[Tensor | None]) -> bool:
    return not any(bool((g != 0).any()) for g in gradients if g is not None)


def _sum(terms: Iterable[Tensor]) -> float:
    """Sum tensors in float64: hundreds of layers differ by many orders of magnitude."""
    return float(sum(term.detach().double().sum() for term in terms))


class Snip(PassProxy):
    """The ``snip`` proxy; see ``snip``."""

    needs_labels = True
    needs_gradients = True

    def __init__(self, options: None = None) -> None:
        pass

    def attach(self, run: NetworkPass) -> Callable[[], float]:
        """Ask for the gradient in the weights."""
        return _attach_snip(run)


class Plain(PassProxy):
    """The ``plain`` proxy; see ``plain``."""

    needs_labels = True
    needs_gradients = True

    def __init__(self, options: None = None) -> None:
        pass

    def attach(self, run: NetworkPass) -> Callable[[], float]:
        """Ask for the gradient in the weights."""
        return _attach_plain(run)


class GradNorm(PassProxy):
    """The ``grad_norm`` proxy; see ``grad_norm``."""

    needs_labels = True
    needs_gradients = True

    def __init__(self, options: None = None) -> None:
        pass

    def attach(self, run: NetworkPass) -> Callable[[], float]:
        """Ask for the gradient in the weights."""
        return _attach_grad_norm(run)


class Fisher(PassProxy):
    """The ``fisher`` proxy; see ``fisher``."""

    needs_labels = True
    needs_gradients = True

    def __init__(self, options: None = None) -> None:
        pass

    def attach(self, run: NetworkPass) -> Callable[[], float]:
        """Ask for the gradient in the outputs of the layers."""
        return _attach_fisher(run)


class Grasp(Proxy):
    """The ``grasp`` proxy; see ``grasp``."""

    needs_labels = True
    needs_gradients = True

    def __init__(self, options: GraspOptions) -> None:
        self._options = options

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return minus the sum of weight times Hessian-gradient product."""
        return grasp(network, batch, temperature=self._options.temperature)


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
