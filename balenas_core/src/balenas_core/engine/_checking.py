"""The choice trained alone for a few epochs, beside a uniform draw as its control."""

from __future__ import annotations

import math

from balenas_core.interfaces.architecture import Architecture
from balenas_core.interfaces.result import Check
from balenas_core.interfaces.selection import SelectionContext
from balenas_core.plugins.selector_options import TrainOptions
from balenas_core.random import generator
from balenas_core.selectors import trained

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
        Both accuracies; None where every architecture is the same network.

    Raises:
        SearchInterrupted: A stop was requested; what is trained is not trained again.
    """
    control = _control(chosen, context, seed)
    if control is None:
        return None
    accuracies = []
    for done, architecture in enumerate((chosen, control)):
        context.report(done * epochs, 2 * epochs)
        accuracies.append(_accuracy(architecture, epochs, context))
    context.report(2 * epochs, 2 * epochs)
    return Check(epochs, accuracies[0], control, accuracies[1])


def _control(chosen: Architecture, context: SelectionContext, seed: int) -> Architecture | None:
    space, draws = context.space, generator(seed, "check")
    canonical = space.canonical(chosen)
    for _ in range(_TRIES):
        drawn: Architecture = space.random(draws)
        if space.canonical(drawn) != canonical:
            return drawn
    return None


def _accuracy(architecture: Architecture, epochs: int, context: SelectionContext) -> float:
    def compute() -> dict[str, float]:
        network = trained(architecture, epochs, TrainOptions(), context)
        return {"accuracy": context.evaluate(network)}

    accuracy = context.remember(f"check/{epochs}/{architecture}", compute)["accuracy"]
    return 0.0 if math.isnan(accuracy) else accuracy
