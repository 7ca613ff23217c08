"""Numbers that may lie beyond floats."""

from __future__ import annotations

import math

from balenas_core.scores.probing import score_or_worst


def finish(score: float, exponent: int, *, log: bool) -> float:
    """Return ``score * 2 ** exponent`` or its logarithm, and the worst score beyond floats."""
    if log:
        return score_or_worst(math.log(score) + exponent * math.log(2) if score > 0 else -math.inf)
    try:
        return score_or_worst(math.ldexp(score, exponent))
    except OverflowError:
        return -math.inf
