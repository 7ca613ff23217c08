"""Proxies made of the loss's gradient in the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from balenas_core.interfaces.proxy import Batch
from balenas_core.scores.network_pass import NetworkPass, PassProxy, score_pass
from balenas_core.scores.probing import Loss, score_or_worst

Pairs: TypeAlias = Sequence[tuple[Tensor, Tensor]]
"""Weights that have a gradient, with it."""


def snip(network: nn.Module, batch: Batch, loss: Loss = functional.cross_entropy) -> float:
    """Return the total connection sensitivity of a network's weights.

    ``sum over weights w of |w * dL/dw|``, over convolutions and linear layers. At least 0,
    and 0, the lowest, if the loss depends on none of them.

    References:
        Lee, Ajanthan, Torr, 2019, SNIP, equation 5; the normalisation to 1 in equation 6 would
        make all networks equal. The gradient in a mask of ones is ``w * dL/dw``. Summed over a
        network as in Abdelfattah et al., 2021, Zero-cost proxies for lightweight NAS (released
        code).
    """
    return score_pass(network, batch, Snip().attach, loss=loss)


def plain(network: nn.Module, batch: Batch, loss: Loss = functional.cross_entropy) -> float:
    """Return the signed sum of weight times gradient: nearly noise, offered as a control.

    ``sum over weights w of w * dL/dw``, over convolutions and linear layers. ``-inf`` if the
    gradient is zero in every weight.

    References:
        Abdelfattah et al., 2021, Zero-cost proxies for lightweight NAS (released code).
        Deviation: a network without gradient ranks last instead of scoring 0.
    """
    return score_pass(network, batch, Plain().attach, loss=loss)


def grad_norm(network: nn.Module, batch: Batch, loss: Loss = functional.cross_entropy) -> float:
    """Return the sum over layers of the 2-norm of the gradient in the layer's weight.

    ``sum over layers l of ||dL/dW_l||_2``, over convolutions and linear layers. At least 0,
    and 0, the lowest, if the loss depends on none of them.

    References:
        Abdelfattah et al., 2021, Zero-cost proxies for lightweight NAS (released code). Other
        codes take one norm over all parameters: another number.
    """
    return score_pass(network, batch, GradNorm().attach, loss=loss)


def _snip(given: Pairs) -> float:
    return total((w.detach() * g).abs() for w, g in given)


def _plain(given: Pairs) -> float:
    if is_zero([g for _, g in given]):
        return -math.inf
    return total(w.detach() * g for w, g in given)


def _grad_norm(given: Pairs) -> float:
    return total(g.norm() for _, g in given)


def differentiate(
    output: Tensor, inputs: list[Tensor], *, create_graph: bool = False
) -> tuple[Tensor | None, ...]:
    """Return gradients of a scalar; None where it does not depend on an input."""
    if not inputs or not output.requires_grad:
        return tuple(None for _ in inputs)
    return torch.autograd.grad(output, inputs, create_graph=create_graph, allow_unused=True)


def pairs(
    weights: Sequence[Tensor], gradients: Sequence[Tensor | None]
) -> list[tuple[Tensor, Tensor]]:
    """Return the weights that have a gradient, with it."""
    return [(w, g) for w, g in zip(weights, gradients, strict=True) if g is not None]


def is_zero(gradients: Sequence[Tensor | None]) -> bool:
    """Whether every gradient is zero or missing."""
    return not any(bool((g != 0).any()) for g in gradients if g is not None)


def total(terms: Iterable[Tensor]) -> float:
    """Sum tensors in float64: hundreds of layers differ by many orders of magnitude."""
    return float(sum(term.detach().double().sum() for term in terms))


class WeightGradient(PassProxy):
    """A proxy that is a function of the weights and the loss's gradient in them.

    Args:
        measure: ``_snip``, ``_plain`` or ``_grad_norm``.
        options: None; there are none.
    """

    needs_labels = True
    needs_gradients = True

    def __init__(self, measure: Callable[[Pairs], float], options: None = None) -> None:
        self._measure = measure

    def attach(self, run: NetworkPass) -> Callable[[], float]:
        """Ask for the gradient in the weights."""
        return lambda: score_or_worst(self._measure(pairs(run.weights, run.weight_gradients)))


Snip = partial(WeightGradient, _snip)
Plain = partial(WeightGradient, _plain)
GradNorm = partial(WeightGradient, _grad_norm)
