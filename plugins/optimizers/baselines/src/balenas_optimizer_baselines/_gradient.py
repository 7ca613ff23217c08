"""Gradients of the validation loss in the architecture weights: plain, and unrolled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import SGD

from balenas_core import Objective, Weights

# Length, in the space of all weights, of the finite difference of DARTS.
_PERTURBATION = 0.01


@dataclass(frozen=True, slots=True)
class LossAndGradient:
    """A validation loss, and its gradient in the weights of every decision."""

    loss: float
    gradient: Mapping[str, Tensor]


def plain_gradient(objective: Objective, weights: Weights) -> LossAndGradient:
    """Return the loss at the present network weights, and its gradient (first order)."""
    leaves = _leaves(weights)
    loss = objective(leaves)
    return LossAndGradient(loss.item(), _gradient(loss, leaves))


def unrolled_gradient(objective: Objective, weights: Weights) -> LossAndGradient:
    """Return the loss after one step of the network's weights, and its total gradient.

    With v the gradient of L_val in the weights w' = w - lr * step(w, W) after the step, the
    mixed second derivative is a central difference of the training gradient,

        dL_val(w', W) / dW - lr * (dL_train(w+, W)/dW - dL_train(w-, W)/dW) / (2 * eps),
        w+- = w +- eps * v,  eps = 0.01 / |v|.

    ``W`` is the draw that is handed in, in all four passes, so that a distribution's noise is
    the same in each. The network's weights and buffers are as before afterwards.

    Args:
        objective: Its ``weight_optimizer`` gives lr, momentum, Nesterov and weight decay.
        weights: Architecture weights.

    References:
        Liu et al. 2019, "DARTS", ICLR, equations 7-8. Deviation: Nesterov momentum is part
        of the step, where the released code leaves it out.
    """
    leaves = _leaves(weights)
    parameters = [p for p in objective.supernet.parameters() if p.requires_grad]
    with _restored(objective.supernet) as restore:
        training = objective.averaged(
            torch.autograd.grad(objective.training_loss(leaves), parameters, materialize_grads=True)
        )
        steps, rates = _sgd_step(objective.weight_optimizer, parameters, training)
        _move(parameters, steps, -1.0)
        loss = objective.validation_loss(leaves)
        gradients = torch.autograd.grad(
            loss, [*leaves.values(), *parameters], materialize_grads=True
        )
        direct = gradients[: len(leaves)]
        direction = objective.averaged(gradients[len(leaves) :])
        restore()
        scaled = [rate * d for rate, d in zip(rates, direction, strict=True)]
        mixed = _mixed_derivative(objective, leaves, parameters, scaled)
    gradient = {name: value - mixed[name] for name, value in zip(leaves, direct, strict=True)}
    return LossAndGradient(loss.item(), gradient)


def _mixed_derivative(
    objective: Objective,
    leaves: Mapping[str, Tensor],
    parameters: Sequence[Tensor],
    direction: Sequence[Tensor],
) -> Mapping[str, Tensor]:
    """Return d^2 L_train / (dW dw) * direction, by a central difference."""
    norm = torch.linalg.vector_norm(torch.stack([d.norm() for d in direction])).item()
    if norm == 0.0:
        return {name: torch.zeros_like(value) for name, value in leaves.items()}
    eps = _PERTURBATION / norm
    _move(parameters, direction, eps)
    plus = _gradient(objective.training_loss(leaves), leaves)
    _move(parameters, direction, -2 * eps)
    minus = _gradient(objective.training_loss(leaves), leaves)
    return {name: (plus[name] - minus[name]) / (2 * eps) for name in leaves}


def _sgd_step(
    optimizer: SGD, parameters: Sequence[Tensor], gradients: Sequence[Tensor]
) -> tuple[list[Tensor], list[float]]:
    """Return what a step of SGD would subtract, and its derivative in the gradient."""
    group_of = {p: group for group in optimizer.param_groups for p in group["params"]}
    steps, rates = [], []
    for parameter, gradient in zip(parameters, gradients, strict=True):
        group = group_of[parameter]
        decayed = gradient + group["weight_decay"] * parameter.detach()
        momentum = group["momentum"]
        buffer = optimizer.state.get(parameter, {}).get("momentum_buffer")
        moved = decayed if buffer is None else momentum * buffer + decayed
        if group["nesterov"]:
            moved = decayed + momentum * moved
        steps.append(group["lr"] * moved)
        rates.append(group["lr"] * (1 + momentum if group["nesterov"] else 1.0))
    return steps, rates


def _leaves(weights: Weights) -> dict[str, Tensor]:
    return {name: value.detach().requires_grad_() for name, value in weights.items()}


def _gradient(loss: Tensor, leaves: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # A supernet need not touch every decision, nor an operation whose weight is zero: a hard
    # draw may cut the input off from the output, and then nothing is touched.
    if not loss.requires_grad:
        return {name: torch.zeros_like(value) for name, value in leaves.items()}
    gradients = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
    return dict(zip(leaves, gradients, strict=True))


@torch.no_grad()
def _move(parameters: Sequence[Tensor], direction: Sequence[Tensor], length: float) -> None:
    for parameter, d in zip(parameters, direction, strict=True):
        parameter.add_(d, alpha=length)


@contextmanager
def _restored(module: nn.Module) -> Iterator[_Restore]:
    """Put parameters and buffers back at the end, and whenever the yielded object is called."""
    restore = _Restore([*module.parameters(), *module.buffers()])
    try:
        yield restore
    finally:
        restore()


class _Restore:
    """Remembers tensors; writes the remembered values back when called."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._saved = [(tensor, tensor.detach().clone()) for tensor in tensors]

    @torch.no_grad()
    def __call__(self) -> None:
        for tensor, value in self._saved:
            tensor.copy_(value)
