"""Gradients of every example of a batch, and their moments."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from balenas_optimizer_ngvi.errors import OptionError


def per_sample_moments(
    losses: Tensor, parameters: Sequence[Tensor], *, chunk_size: int = 64
) -> tuple[list[Tensor | None], list[Tensor | None]]:
    """Return mean and mean square of the per-example gradients.

    Runs one backward pass, vectorised over the examples (``torch.vmap``), so it takes any graph
    that has one loss per example. A network whose examples influence each other (batch
    normalisation in training mode) gives the gradients of each loss all the same.

    Args:
        losses: `B`-dim tensor of losses, one for each example.
        parameters: Tensors to differentiate by.
        chunk_size: Examples differentiated at once; memory grows by it times the parameters.

    Returns:
        For each parameter the mean gradient and the mean squared gradient, both of the
        parameter's shape; None where the losses do not depend on it.

    Raises:
        OptionError: ``losses`` has not one dimension, or no element.

    Example:
        >>> weight = torch.tensor([2.0], requires_grad=True)
        >>> mean, square = per_sample_moments(weight * torch.tensor([1.0, 3.0]), [weight])
        >>> mean[0].item(), square[0].item()
        (2.0, 5.0)
    """
    if losses.dim() != 1 or losses.numel() == 0:
        raise OptionError(
            f"`losses` must hold one loss for each example in one dimension; got {losses.shape=}. "
            "Use reduction='none' in the loss function"
        )
    count = losses.numel()
    identity = torch.eye(count, dtype=losses.dtype, device=losses.device)
    means: list[Tensor | None] = [None] * len(parameters)
    squares: list[Tensor | None] = [None] * len(parameters)
    for rows in identity.split(chunk_size):
        gradients = torch.autograd.grad(
            losses,
            list(parameters),
            grad_outputs=rows,
            is_grads_batched=True,
            allow_unused=True,
            retain_graph=True,
        )
        for index, gradient in enumerate(gradients):
            if gradient is not None:
                means[index] = _plus(means[index], gradient.sum(0), count)
                squares[index] = _plus(squares[index], gradient.square().sum(0), count)
    return means, squares


def _plus(total: Tensor | None, part: Tensor, count: int) -> Tensor:
    return part.div_(count) if total is None else total.add_(part, alpha=1 / count)
