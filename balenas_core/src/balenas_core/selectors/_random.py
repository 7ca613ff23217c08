"""The control of every ranking."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from balenas_core.interfaces.selection import SelectionContext
from balenas_core.plugins.selector_options import PoolOptions, RandomChoiceOptions
from balenas_core.selectors._draws import Draw
from balenas_core.selectors._pool import PoolSelector, Ranking


class RandomSelector(PoolSelector):
    """Puts the pool that a proxy would rank into a random order."""

    def __init__(self, options: RandomChoiceOptions) -> None:
        self._options = options

    @property
    def pool_options(self) -> PoolOptions:
        """How the pool is drawn."""
        return self._options

    def rank(self, pool: Sequence[Draw], context: SelectionContext) -> Ranking:
        """Shuffle the pool."""
        order = torch.randperm(len(pool), generator=context.generator).tolist()
        return Ranking(order, [{} for _ in pool])
