"""The choice trained alone for a few epochs, beside a uniform draw as its control."""

from __future__ import annotations

import logging
import math
from functools import partial

from balenas_core.interfaces.architecture import Architecture
from balenas_core.interfaces.result import Check
from balenas_core.interfaces.selection import Measured, SelectionContext
from balenas_core.plugins.selector_options import TrainOptions
from balenas_core.random import generator
from balenas_core.selectors import trained

_log = logging.getLogger(__name__)

_TRIES = 100
"""Draws until one is another network than the choice; a space of one network has none."""


def check(
    chosen: Architecture, epochs: int, context: SelectionContext, *, seed: int
) -> Check | None:
    """Train the choice and one uniform draw alike, and measure both.

    What weights of a supernet say of one network alone is little; this says whether the search
    was worth it at all. One draw is no statistics: it is there to be surprised by.

    Args:
        chosen: The choice.
        epochs: Passes over the training half, of each.
        context: What the selection looked at.
        seed: Seed of the search.

    Returns:
        Both accuracies; None where every architecture is the same network, or one of the two
        cannot be trained.

    Raises:
        SearchInterrupted: A stop was requested; what is trained is not trained again.
    """
    control = _control(chosen, context, seed)
    if control is None:
        return None
    items = {f"check/{epochs}/{architecture}": architecture for architecture in (chosen, control)}
    measure = partial(_trained_accuracy, epochs=epochs)
    context.report(0, 2 * epochs)
    accuracies = []
    for measured in context.measured(measure, items):
        if measured.failure is not None:
            _log.warning("the choice is not checked: %s", measured.failure)
            return None
        accuracies.append(measured.scores["accuracy"])
        context.report(len(accuracies) * epochs, 2 * epochs)
    first, second = (0.0 if math.isnan(accuracy) else accuracy for accuracy in accuracies)
    return Check(epochs, first, control, second)


def _trained_accuracy(
    architecture: Architecture, context: SelectionContext, *, epochs: int
) -> Measured:
    network = trained(architecture, epochs, TrainOptions(), context)
    return Measured({"accuracy": context.evaluate(network)})


def _control(chosen: Architecture, context: SelectionContext, seed: int) -> Architecture | None:
    space, draws = context.space, generator(seed, "check")
    canonical = space.canonical(chosen)
    for _ in range(_TRIES):
        drawn: Architecture = space.random(draws)
        if space.canonical(drawn) != canonical:
            return drawn
    return None
