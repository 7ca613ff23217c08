"""What the learning of a search hands to the choosing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from balenas_core.engine._measuring import Measuring
from balenas_core.interfaces.distribution import ArchitectureDistribution
from balenas_core.interfaces.space import AnySpace, Supernet, Task


@dataclass(frozen=True, slots=True)
class Learned:
    """The end of the learning: all that a choice may depend on.

    Args:
        space: The search space.
        task: What networks are built for.
        distribution: What candidates are drawn from.
        supernet: With the weights it has learned.
        is_supernet_trained: Whether it has learned any.
        measuring: Measures networks on the images of the search.
        seed: Seed of the search.
        metrics: The record of every epoch.
        seconds: What the learning took.
        state: Checksum of the checkpoint that holds this state; scores of another one do not
            count.
        stop_if_asked: Raises where the search is to stop, with its state saved.
    """

    space: AnySpace
    task: Task
    distribution: ArchitectureDistribution
    supernet: Supernet
    is_supernet_trained: bool
    measuring: Measuring
    seed: int
    metrics: Sequence[Mapping[str, Any]]
    seconds: float
    state: str
    stop_if_asked: Callable[[], None]
