"""The pool of candidates: draws from the distribution, without duplicates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from balenas_core.interfaces.architecture import Architecture
from balenas_core.interfaces.selection import SelectionContext

_DRAWS_PER_REPORT = 1000


@dataclass(frozen=True, slots=True)
class Draw:
    """A distinct architecture of the pool, how often it was drawn, and what it costs.

    A neighbour of a draw that was not drawn itself has the count 0.

    ``evidence`` has a number from each stage before: where the architecture stood in its order, as
    a normal score (0 in the middle, larger is better).
    """

    architecture: Architecture
    count: int
    is_argmax: bool
    costs: Mapping[str, float] = field(default_factory=dict)
    evidence: tuple[float, ...] = ()

    @property
    def tie_break(self) -> tuple[bool, int, str]:
        """What orders candidates of equal score: the argmax, then the most drawn, then text."""
        return not self.is_argmax, -self.count, str(self.architecture)


def distinct_draws(context: SelectionContext, draws: int) -> list[Draw]:
    """Draw ``draws`` architectures and drop those that compute the same function.

    The argmax of the mean is always the first, in its own form; of equivalent draws the first
    is kept.
    """
    space = context.space
    argmax = context.distribution.argmax(space)
    counts = {space.canonical(argmax): 0}
    first = {space.canonical(argmax): argmax}
    for number in range(draws):
        if number and number % _DRAWS_PER_REPORT == 0:
            context.report(0, draws)  # a search can be stopped here
        (architecture,) = context.distribution.draw(space, 1, context.generator)
        key = space.canonical(architecture)
        counts[key] = counts.get(key, 0) + 1
        first.setdefault(key, architecture)
    return [
        Draw(architecture, counts[key], is_argmax=architecture is argmax)
        for key, architecture in first.items()
    ]


def neighbors_of(pool: Sequence[Draw], count: int, context: SelectionContext) -> list[Draw]:
    """Return what differs in one decision from one of the ``count`` most drawn, and is not there.

    The argmax is the first of them. A distribution that is sure of all decisions but one draws
    what is next to the best and not the best; what computes the function of another is left out.
    """
    space = context.space
    known = {space.canonical(draw.architecture) for draw in pool}
    found: list[Draw] = []
    for draw in sorted(pool, key=lambda draw: draw.tie_break)[:count]:
        for neighbor in space.neighbors(draw.architecture):
            key = space.canonical(neighbor)
            if key not in known:
                known.add(key)
                found.append(Draw(neighbor, 0, is_argmax=False))
    return found
