"""Selection by what a network is worth with inherited weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

from balenas_core.errors import UsageError
from balenas_core.interfaces.selection import SelectionContext
from balenas_core.plugins.selector_options import PoolOptions, SupernetOptions
from balenas_core.selectors._draws import Draw
from balenas_core.selectors._pool import PoolSelector, Ranking, best_first


class SupernetSelector(PoolSelector):
    """Ranks draws by their validation loss, or accuracy, with the weights of the supernet.

    The loss says more: it moves where no image changes sides.

    References:
        Bender et al. 2018, "Understanding and Simplifying One-Shot Architecture Search", ICML.
        Deviations: candidates come from the learned distribution; the loss.
    """

    def __init__(self, options: SupernetOptions) -> None:
        self._options = options

    @property
    def pool_options(self) -> PoolOptions:
        """How the pool is drawn."""
        return self._options

    def rank(self, pool: Sequence[Draw], context: SelectionContext) -> Ranking:
        """Measure every candidate.

        Raises:
            UsageError: No supernet was trained, and the stage is not optional.
        """
        if self._options.optional and not context.is_supernet_trained:
            return Ranking(range(len(pool)), [{} for _ in pool])
        check_trained_supernet(context, "supernet")
        is_loss = self._options.criterion == "loss"
        score = f"inherited_{self._options.criterion}"
        scores = []
        for done, draw in enumerate(pool):
            context.report(done, len(pool))
            scores.append(_measured(draw, context, score))
        context.report(len(pool), len(pool))
        values = [-found if is_loss else found for found in scores]
        # A network that blows up with inherited weights is the worst, not unordered.
        values = [-math.inf if math.isnan(value) else value for value in values]
        return Ranking(best_first(pool, values), [{score: found} for found in scores])


def _measured(draw: Draw, context: SelectionContext, score: str) -> float:
    measure = context.evaluate_loss if score == "inherited_loss" else context.evaluate
    if measure is None:
        raise UsageError(
            "selector 'supernet' ranks by loss, and its context measures none; set "
            "selector.supernet.criterion=accuracy."
        )

    def compute() -> dict[str, float]:
        network = context.space.inherit(context.supernet, draw.architecture)
        return {score: measure(network)}

    return context.remember(f"supernet/{draw.architecture}", compute)[score]


def check_trained_supernet(context: SelectionContext, selector: str) -> None:
    """Check that the supernet's weights mean something.

    Raises:
        UsageError: No supernet was trained.
    """
    if not context.is_supernet_trained:
        raise UsageError(
            f"selector {selector!r} looks at the trained weights of a supernet, and the optimizer "
            f"of this search trains none; choose proxies, 'train' or 'argmax' with --selector."
        )
