"""Tables of scores: many architectures by several proxies, and how they agree with accuracy."""

from balenas_core.scores._agreement import (
    Agreement as Agreement,
    Interval as Interval,
    agreement as agreement,
    kendall as kendall,
    spearman as spearman,
    top_overlap as top_overlap,
)
from balenas_core.scores._file import ScoreFile as ScoreFile
from balenas_core.scores._job import Init as Init, ScoredRow as ScoredRow, ScoringJob as ScoringJob
from balenas_core.scores._parallel import score_all as score_all
