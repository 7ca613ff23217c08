"""Selectors that come with the core."""

from balenas_core.selectors._argmax import ArgmaxSelector as ArgmaxSelector
from balenas_core.selectors._draws import Draw as Draw, distinct_draws as distinct_draws
from balenas_core.selectors._random import RandomSelector as RandomSelector
from balenas_core.selectors._ranking import (
    RankingSelector as RankingSelector,
    mean_ranks as mean_ranks,
)
