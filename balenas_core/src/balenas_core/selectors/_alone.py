"""Training one architecture alone, shortly, on all images but a part that measures it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from balenas_core.errors import UsageError
from balenas_core.interfaces.architecture import Architecture
from balenas_core.interfaces.selection import Division, SelectionContext
from balenas_core.plugins.selector_options import RefineOptions
from balenas_core.random import derive_seed, seeded
from balenas_core.selectors._sgd import train_by_sgd

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


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an architecture is trained alone.

    Args:
        is_inherited: Whether it begins with the supernet's weights.
        epochs: Passes over the images.
        lr: Largest learning rate.
    """

    is_inherited: bool
    epochs: int
    lr: float


def recipe_of(options: RefineOptions, *, is_supernet_trained: bool) -> Recipe:
    """Return the recipe of a selection.

    Raises:
        UsageError: It is to begin with the weights of a supernet that was not trained.
    """
    if options.start == "supernet" and not is_supernet_trained:
        raise UsageError(
            "selector 'refine' is to begin with a supernet's weights (start: supernet), and the "
            "optimizer of this search trains none; leave it at auto."
        )
    is_inherited = options.start != "scratch" and is_supernet_trained
    epochs, lr = (2, 0.05) if is_inherited else (8, 0.2)
    return Recipe(is_inherited, options.epochs or epochs, options.lr or lr)


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
    recipe = recipe_of(options, is_supernet_trained=context.is_supernet_trained)
    seed = derive_seed(context.seed, "refine", number)
    images = context.divide(options.held_out, options.batch_size, seed)
    with seeded(seed):
        network = (
            context.space.inherit(context.supernet, architecture)
            if recipe.is_inherited
            else context.space.network(architecture, context.task)
        )
        network = network.to(device=context.device, dtype=context.batch.images.dtype)
        network.requires_grad_()
        steps = recipe.epochs * images.steps
        is_finite = train_by_sgd(
            network,
            map(images.training, range(recipe.epochs)),
            rate=lambda _, step: recipe.lr * one_cycle((step + 0.5) / steps),
            momentum=options.momentum,
            weight_decay=options.weight_decay,
        )
    worst = worst_loss(context.task.num_classes)
    loss = _loss(network, images) if is_finite else math.nan
    return min(loss, worst) if math.isfinite(loss) else worst


def worst_loss(classes: int) -> float:
    """Return twice the loss of guessing."""
    return 2 * math.log(classes)


@torch.no_grad()
def _loss(network: nn.Module, images: Division) -> float:
    network.eval()
    total, count = 0.0, 0
    for batch in images.validation():
        loss = functional.cross_entropy(network(batch.images), batch.labels, reduction="sum")
        total += loss.item()
        count += len(batch.labels)
    return total / count
