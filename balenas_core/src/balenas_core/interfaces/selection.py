"""From a learned distribution to one architecture."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Generator, nn

from balenas_core.drawing import choice_html, table_html
from balenas_core.interfaces.architecture import Architecture
from balenas_core.interfaces.distribution import ArchitectureDistribution
from balenas_core.interfaces.proxy import Batch
from balenas_core.interfaces.space import AnySpace, Supernet, Task

_MOST_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Candidate:
    """One architecture that was considered.

    Args:
        architecture: The candidate.
        rank: 1 for the best.
        scores: Score by proxy name; empty where nothing was scored.
        is_argmax: Whether it is the argmax of the distribution's mean.
        draws: How often it was drawn.
        costs: ``params``, ``flops`` and ``latency`` (milliseconds), where limits ask for them.
        failure: Why it could not be measured, after every try; None where it could.
    """

    architecture: Architecture
    rank: int
    scores: Mapping[str, float]
    is_argmax: bool
    draws: int
    costs: Mapping[str, float] = field(default_factory=dict)
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """What one stage of a staged selection did.

    Args:
        name: Its part of the selector's expression.
        candidates: How many it ranked.
        survivors: Those that went on to the next stage, best first.
        epochs: Epochs of training that it took.
        seconds: Time that it took, over all processes that worked on it.
    """

    name: str
    candidates: int
    survivors: tuple[Architecture, ...]
    epochs: int
    seconds: float


@dataclass(frozen=True, slots=True, repr=False)
class Selection:
    """Ranked candidates, best first. The first is the choice.

    Args:
        candidates: All that were considered.
        keep: How many of the best are kept for what comes after the search.
        stages: What each stage did, of a staged selection.
    """

    candidates: tuple[Candidate, ...]
    keep: int = 1
    stages: tuple[Stage, ...] = ()

    @property
    def chosen(self) -> Candidate:
        """The best candidate."""
        return self.candidates[0]

    @property
    def kept(self) -> tuple[Candidate, ...]:
        """The ``keep`` best candidates."""
        return self.candidates[: self.keep]

    @property
    def pareto(self) -> dict[str, tuple[Candidate, ...]]:
        """Cost -> candidates that no other beats in both rank and that cost, best rank first.

        Example:
            >>> costs = (5.0, 7.0, 3.0)
            >>> candidates = (
            ...     Candidate(None, rank, {}, False, 1, {"params": cost})
            ...     for rank, cost in enumerate(costs, start=1)
            ... )
            >>> [c.rank for c in Selection(tuple(candidates)).pareto["params"]]
            [1, 3]
        """
        return {cost: _front(self.candidates, cost) for cost in self.chosen.costs}

    def table(self) -> tuple[list[str], list[list[Any]]]:
        """Return names of columns, and one row for every candidate, best first.

        A score or cost that a candidate lacks is None.
        """
        # Later stages of a staged selection have scored fewer of them.
        scores = list(dict.fromkeys(name for c in self.candidates for name in c.scores))
        costs = list(self.chosen.costs)
        rows = [
            [
                candidate.rank,
                *map(candidate.scores.get, scores),
                *map(candidate.costs.get, costs),
                candidate.draws,
                candidate.is_argmax,
                str(candidate.architecture),
            ]
            for candidate in self.candidates
        ]
        return ["rank", *scores, *costs, "draws", "is_argmax", "architecture"], rows

    def __repr__(self) -> str:
        """Name the choice; the candidates would fill the screen."""
        return f"Selection(chosen={str(self.chosen.architecture)!r}, of={len(self.candidates)})"

    def _repr_html_(self) -> str:
        """Show the choice and the best candidates in a notebook."""
        parts = [choice_html(self.chosen.architecture)]
        if len(self.candidates) > 1:
            columns, rows = self.table()
            shown = min(len(rows), _MOST_SHOWN)
            caption = f"The best {shown} of {len(rows)} candidates"
            parts.append(table_html(caption, columns, rows[:shown]))
        return "\n".join(parts)


def _front(candidates: tuple[Candidate, ...], cost: str) -> tuple[Candidate, ...]:
    front: list[Candidate] = []
    for candidate in candidates:
        if not front or candidate.costs[cost] < front[-1].costs[cost]:
            front.append(candidate)
    return tuple(front)


@dataclass(frozen=True, slots=True)
class Division:
    """All training images of a search, divided anew: for training one candidate alone.

    Args:
        training: Augmented batches of an epoch. Another call ends the iteration before.
        validation: Batches of the images that are held out, not augmented.
        steps: Batches of an epoch.
    """

    training: Callable[[int], Iterator[Batch]]
    validation: Callable[[], Iterator[Batch]]
    steps: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of a candidate by measuring it.

    Args:
        scores: Numbers by name; ``-inf`` for one that could not be computed.
        errors: Why, for those. Where it is all of them, nothing is remembered.
        failure: Why the candidate has no numbers at all, after every try.
    """

    scores: Mapping[str, float]
    errors: Mapping[str, str] = field(default_factory=dict)
    failure: str | None = None

    @property
    def is_worth_keeping(self) -> bool:
        """Whether a search that goes on need not measure it again."""
        return self.failure is None and len(self.errors) < len(self.scores)


def _compute(key: str, compute: Callable[[], Mapping[str, float]]) -> Mapping[str, float]:
    del key
    return compute()


def _one_by_one(
    context: SelectionContext, measure: Measure, items: Mapping[str, Any]
) -> Iterator[Measured]:
    for key, item in items.items():
        errors: dict[str, str] = {}

        def compute(item: Any = item, errors: dict[str, str] = errors) -> Mapping[str, float]:
            measured = measure(item, context)
            errors |= measured.errors
            if not measured.is_worth_keeping:
                raise _NotKept(measured)
            return measured.scores

        try:
            yield Measured(context.remember(key, compute), errors)
        except _NotKept as found:
            yield found.measured


class _NotKept(Exception):
    """Nothing that is worth keeping was found."""

    def __init__(self, measured: Measured) -> None:
        super().__init__(measured)
        self.measured = measured


@dataclass(frozen=True, slots=True)
class SelectionContext:
    """What a selector may look at.

    Args:
        space: The search space.
        task: What networks are built for.
        distribution: The learned distribution.
        supernet: The trained supernet.
        batch: A validation batch.
        evaluate: Accuracy in percent of a network on the validation half, after its batch
            normalisation has seen a few training batches.
        generator: Source of every random number of the selection (a CPU generator).
        seed: Seed of the candidates' fresh weights, the same for each of them.
        device: Where networks are scored.
        report: Called as ``report(done, total)`` for progress.
        remember: ``remember(key, compute)`` returns ``compute()``, numbers by name, or what it
            returned for the same key before the search was interrupted and resumed, or in an
            earlier selection of the run by a selector of the same options. For what takes long,
            such as scores; ``compute`` must not draw from ``generator``. Many candidates are
            measured by ``measured``, which remembers too.
        seconds: A clock: seconds that all processes have spent on the selection. What is
            remembered counts as what it took.
        training_batches: Batches of the training half in a given epoch, on the device, or None
            where there is no such data. Another call ends the iteration before.
        validation_batches: Batches of the validation half, on the device; None for ``batch``
            alone. ``evaluate`` ends the iteration.
        is_supernet_trained: Whether the supernet's weights were trained.
        evaluate_loss: Mean loss of a network on the validation half, measured as ``evaluate``
            measures the accuracy; None where there is no such half.
        divide: ``divide(fraction, batch_size, seed)`` holds out that fraction of all images that
            the search has, other ones for every seed; None where there are no such images.
        execute: How ``measured`` gets its numbers: one candidate after the other, or by workers.
    """

    space: AnySpace
    task: Task
    distribution: ArchitectureDistribution
    supernet: Supernet
    batch: Batch
    evaluate: Callable[[nn.Module], float]
    generator: Generator
    seed: int
    device: torch.device
    report: Callable[[int, int], None]
    remember: Callable[[str, Callable[[], Mapping[str, float]]], Mapping[str, float]] = _compute
    training_batches: Callable[[int], Iterator[Batch]] | None = None
    validation_batches: Callable[[], Iterator[Batch]] | None = None
    is_supernet_trained: bool = True
    seconds: Callable[[], float] = time.perf_counter
    evaluate_loss: Callable[[nn.Module], float] | None = None
    divide: Callable[[float, int, int], Division] | None = None
    execute: Callable[[SelectionContext, Measure, Mapping[str, Any]], Iterator[Measured]] = (
        _one_by_one
    )

    def measured(self, measure: Measure, items: Mapping[str, Any]) -> Iterator[Measured]:
        """Measure candidates that do not depend on one another; remembered ones are not anew.

        They may be measured by other processes, several at once and in any order, to the same
        numbers.

        Args:
            measure: ``measure(item, context)`` of one candidate. It can be pickled, and depends
                on nothing but the item and the space, the images, the supernet and the seed of a
                context like this one, whose ``generator`` says nothing.
            items: Key, as of ``remember``, -> candidate.

        Yields:
            What is known of each, in the order of ``items``.
        """
        return self.execute(self, measure, items)


Measure = Callable[[Any, SelectionContext], Measured]


class Selector(ABC):
    """Ranks candidates drawn from a distribution and chooses one.

    A plugin's implementation is called as ``Selector(options)``.
    """

    @abstractmethod
    def select(self, context: SelectionContext) -> Selection:
        """Return at least one ranked candidate."""
