"""The control of every ranking."""

from __future__ import annotations

import torch

from balenas_core._builtin import RandomChoiceOptions
from balenas_core.selection import Candidate, Selection, SelectionContext, Selector
from balenas_core.selectors._draws import distinct_draws


class RandomSelector(Selector):
    """Puts the pool that a proxy would rank into a random order."""

    def __init__(self, options: RandomChoiceOptions) -> None:
        self._options = options

    def select(self, context: SelectionContext) -> Selection:
        """Return the pool, shuffled."""
        pool = distinct_draws(context, self._options.draws)
        order = torch.randperm(len(pool), generator=context.generator).tolist()
        return Selection(
            tuple(
                Candidate(pool[i].architecture, rank, {}, pool[i].is_argmax, pool[i].count)
                for rank, i in enumerate(order, start=1)
            )
        )
