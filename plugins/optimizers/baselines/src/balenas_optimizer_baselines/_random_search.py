"""Random search over a benchmark or a supernet."""

from __future__ import annotations

from balenas_core import Selection, SelectionContext, Selector
from balenas_optimizer_baselines._evaluated import Evaluated, proposal
from balenas_optimizer_baselines._options import RandomSearchOptions


class RandomSearchSelector(Selector):
    """Evaluates architectures drawn uniformly from the space and ranks them.

    It asks the space, not the distribution: it is the control of every learned one.

    References:
        Li and Talwalkar 2019, "Random Search and Reproducibility for NAS", UAI.
    """

    def __init__(self, options: RandomSearchOptions) -> None:
        self._options = options

    def select(self, context: SelectionContext) -> Selection:
        """Return all that were drawn, best first."""
        evaluated = Evaluated(context, self._options)
        evaluated.values(
            [
                proposal(lambda: context.space.random(context.generator), context)
                for _ in range(self._options.evaluations)
            ]
        )
        return evaluated.selection()
