"""Selection by what a network is worth with inherited weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

from balenas_core.errors import UsageError
from balenas_core.interfaces.architecture import Architecture
from balenas_core.interfaces.selection import Measured, SelectionContext
from balenas_core.plugins.selector_options import PoolOptions, SupernetOptions
from balenas_core.selectors._draws import Draw
from balenas_core.selectors._pool import PoolSelector, Ranking, best_first, failures_of


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
        if is_loss and context.evaluate_loss is None:
            raise UsageError(
                "selector 'supernet' ranks by loss, and its context measures none; set "
                "selector.supernet.criterion=accuracy."
            )
        items = {f"supernet/{draw.architecture}": draw.architecture for draw in pool}
        measure = _measured_loss if is_loss else _measured_accuracy
        context.report(0, len(pool))
        found = []
        for measured in context.measured(measure, items):
            found.append(measured)
            context.report(len(found), len(pool))
        failures = failures_of(found)
        # A network that blows up with inherited weights is the worst, not unordered.
        worst = math.inf if is_loss else -math.inf
        values = [measured.scores.get(score, worst) for measured in found]
        values = [-value if is_loss else value for value in values]
        values = [-math.inf if math.isnan(value) else value for value in values]
        scores = [measured.scores for measured in found]
        return Ranking(best_first(pool, values), scores, failures=failures)


def _measured_loss(architecture: Architecture, context: SelectionContext) -> Measured:
    assert context.evaluate_loss is not None, "checked before"
    network = context.space.inherit(context.supernet, architecture)
    return Measured({"inherited_loss": context.evaluate_loss(network)})


def _measured_accuracy(architecture: Architecture, context: SelectionContext) -> Measured:
    network = context.space.inherit(context.supernet, architecture)
    return Measured({"inherited_accuracy": context.evaluate(network)})


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
