"""Numbers of untrained networks: scores of many by several proxies, and how well they rank.

What a proxy is stands in ``interfaces``; how one candidate is chosen by scores, in ``selectors``.
"""

from balenas_core.scores._aggregate import (
    Aggregate as Aggregate,
    combined as combined,
    descending_ranks as descending_ranks,
    log_rank_sums as log_rank_sums,
    mean_ranks as mean_ranks,
    weighted_ranks as weighted_ranks,
)
from balenas_core.scores._agreement import (
    Agreement as Agreement,
    Interval as Interval,
    agreement as agreement,
    kendall as kendall,
    spearman as spearman,
    top_overlap as top_overlap,
)
from balenas_core.scores._all import score_all as score_all
from balenas_core.scores._effects import Effects as Effects, effects as effects, ridge as ridge
from balenas_core.scores._file import (
    ARCHITECTURE as ARCHITECTURE,
    SCORED_AS as SCORED_AS,
    SETTINGS as SETTINGS,
    ScoreFile as ScoreFile,
    read_table as read_table,
)
from balenas_core.scores._job import Init as Init, ScoredRow as ScoredRow, ScoringJob as ScoringJob
