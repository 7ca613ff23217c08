"""The selectors that come with the core, and what a selector of stages is built from.

What a selector is stands in ``interfaces``; single scores come from ``scores``.
"""

from balenas_core.selectors._argmax import ArgmaxSelector as ArgmaxSelector
from balenas_core.selectors._benchmark import BenchmarkSelector as BenchmarkSelector
from balenas_core.selectors._draws import (
    Draw as Draw,
    distinct_draws as distinct_draws,
    neighbors_of as neighbors_of,
)
from balenas_core.selectors._perturbation import PerturbationSelector as PerturbationSelector
from balenas_core.selectors._pool import (
    PoolSelector as PoolSelector,
    Ranking as Ranking,
    best_first as best_first,
    check_ranking as check_ranking,
    check_scores as check_scores,
    failures_of as failures_of,
)
from balenas_core.selectors._random import RandomSelector as RandomSelector
from balenas_core.selectors._ranking import RankingSelector as RankingSelector
from balenas_core.selectors._refine import RefineSelector as RefineSelector
from balenas_core.selectors._scoped import scoped as scoped
from balenas_core.selectors._staged import StagedSelector as StagedSelector
from balenas_core.selectors._supernet import SupernetSelector as SupernetSelector
from balenas_core.selectors._train import (
    Rung as Rung,
    TrainSelector as TrainSelector,
    rungs as rungs,
    trained as trained,
)
