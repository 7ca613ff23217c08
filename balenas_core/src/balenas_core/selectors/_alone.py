"""Training one architecture alone, shortly, on all images but a part that measures it."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from balenas_core.errors import UsageError
from balenas_core.interfaces.architecture import Architecture
from balenas_core.interfaces.selection import Division, SelectionContext
from balenas_core.plugins.selector_options import RefineOptions
from balenas_core.random import derive_seed, seeded

_RISE = 0.3
_START = 0.04


def one_cycle(done: float) -> float:
    """Return the learning rate over its largest, where a share of the training is done.

    It rises by half a cosine from 0.04 to 1 over the first three tenths, and falls by half a
    cosine to 0.

    Example:
        >>> [round(one_cycle(share), 2) for share in (0.0, 0.3, 1.0)]
        [0.04, 1.0, 0.0]
    """
    if done < _RISE:
        return _START + (1 - _START) * (0.5 - 0.5 * math.cos(math.pi * done / _RISE))
    return 0.5 + 0.5 * math.cos(math.pi * (done - _RISE) / (1 - _RISE))


def loss_alone(
    architecture: Architecture, number: int, options: RefineOptions, context: SelectionContext
) -> float:
    """Return the loss on held-out images of an architecture that was trained alone.

    Trainings of one number share images, order and seed. One that blows up counts as twice the
    loss of guessing, and so does what is worse.

    Raises:
        UsageError: The context has no images to divide.
    """
    if context.divide is None:
        raise UsageError("selector 'refine' needs images to train on, and its context has none.")
    seed = derive_seed(context.seed, "refine", number)
    images = context.divide(options.held_out, options.batch_size, seed)
    with seeded(seed):
        network = context.space.network(architecture, context.task)
        network = network.to(device=context.device, dtype=context.batch.images.dtype)
        is_finite = _train(network, images, options)
    worst = worst_loss(context.task.num_classes)
    loss = _loss(network, images) if is_finite else math.nan
    return min(loss, worst) if math.isfinite(loss) else worst


def worst_loss(classes: int) -> float:
    """Return twice the loss of guessing."""
    return 2 * math.log(classes)


def _train(network: nn.Module, images: Division, options: RefineOptions) -> bool:
    """Train a network, and return whether its loss stayed finite."""
    network.train()
    sgd = torch.optim.SGD(
        network.parameters(),
        lr=options.lr,
        momentum=options.momentum,
        nesterov=options.momentum > 0,
        weight_decay=options.weight_decay,
    )
    steps, step = options.epochs * images.steps, 0
    for epoch in range(options.epochs):
        for batch in images.training(epoch):
            sgd.param_groups[0]["lr"] = options.lr * one_cycle((step + 0.5) / steps)
            sgd.zero_grad(set_to_none=True)
            loss = functional.cross_entropy(network(batch.images), batch.labels)
            if not torch.isfinite(loss):
                return False
            loss.backward()
            sgd.step()
            step += 1
    return True


@torch.no_grad()
def _loss(network: nn.Module, images: Division) -> float:
    network.eval()
    total, count = 0.0, 0
    for batch in images.validation():
        loss = functional.cross_entropy(network(batch.images), batch.labels, reduction="sum")
        total += loss.item()
        count += len(batch.labels)
    return total / count
