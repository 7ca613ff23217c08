"""Selection by the accuracy with inherited weights."""

from __future__ import annotations

from collections.abc import Sequence

from balenas_core.errors import UsageError
from balenas_core.interfaces.selection import SelectionContext
from balenas_core.plugins.selector_options import PoolOptions, SupernetOptions
from balenas_core.selectors._draws import Draw
from balenas_core.selectors._pool import PoolSelector, Ranking, best_first

SCORE = "inherited_accuracy"


class SupernetSelector(PoolSelector):
    """Ranks draws by their validation accuracy with the weights of the supernet.

    References:
        Bender et al. 2018, "Understanding and Simplifying One-Shot Architecture Search", ICML.
        Deviation: candidates come from the learned distribution.
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
            UsageError: No supernet was trained.
        """
        check_trained_supernet(context, "supernet")
        scores = []
        for done, draw in enumerate(pool):
            context.report(done, len(pool))
            scores.append(_measured(draw, context))
        context.report(len(pool), len(pool))
        return Ranking(best_first(pool, scores), [{SCORE: score} for score in scores])


def _measured(draw: Draw, context: SelectionContext) -> float:
    def compute() -> dict[str, float]:
        network = context.space.inherit(context.supernet, draw.architecture)
        return {SCORE: context.evaluate(network)}

    return context.remember(f"supernet/{draw.architecture}", compute)[SCORE]


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
