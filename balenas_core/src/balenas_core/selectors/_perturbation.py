"""Selection by what the supernet loses without an operation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from balenas_core.errors import BalenasError, UnfitError, UsageError, is_out_of_memory, told
from balenas_core.interfaces.selection import Candidate, Selection, SelectionContext, Selector
from balenas_core.plugins.selector_options import PerturbationSelectorOptions
from balenas_core.selectors._supernet import check_trained_supernet

_Table = dict[str, Tensor]


class PerturbationSelector(Selector):
    """Decides slot by slot, keeping the choice whose removal makes the supernet worst.

    In a random order of slots, each choice's weight is set to zero in turn and the validation
    loss is measured; the slot then has the one choice whose absence hurt most. When all are
    decided, each slot's choice is removed once more, and the slots that are missed most get the
    largest weights, by which a space that keeps a part of the slots (the two incoming edges of
    a node in DARTS) keeps the important ones.

    References:
        Wang et al. 2021, "Rethinking Architecture Selection in Differentiable NAS", ICLR,
        algorithm 1 (DARTS-PT). Deviations: the supernet is not trained between decisions;
        the loss is measured by default, in which ties are rare, on a few batches; edges are
        compared in one supernet where all are decided, not node by node.
    """

    def __init__(self, options: PerturbationSelectorOptions) -> None:
        self._options = options

    def select(self, context: SelectionContext) -> Selection:
        """Return the architecture as the only candidate.

        Raises:
            UsageError: No supernet was trained, or the architecture exceeds ``modifiers.limits``.
            UnfitError: The supernet cannot compute a slot without an operation.
        """
        check_trained_supernet(context, "perturbation")
        distribution, space = context.distribution, context.space
        with torch.no_grad():
            weights = {n: w.detach().clone() for n, w in distribution.mean_weights().items()}
        slots = [(name, row) for name, table in weights.items() for row in range(len(table))]
        order = torch.randperm(len(slots), generator=context.generator).tolist()
        measure = _Measure(context, self._options)
        for done, place in enumerate(order):
            context.report(done, 2 * len(slots))
            name, row = slots[place]
            tables = _without_each(weights, name, row)
            # A slot of one choice has nothing to decide.
            drops = measure.drops(f"decide/{name}/{row}", tables) if len(tables) > 1 else [0.0]
            _decide(weights[name][row], int(torch.tensor(drops).argmax()))
        importance = []
        for done, (name, row) in enumerate(slots, start=len(slots)):
            context.report(done, 2 * len(slots))
            importance += measure.drops(f"slot/{name}/{row}", [_without_slot(weights, name, row)])
        context.report(2 * len(slots), 2 * len(slots))
        architecture = space.discretize(_weighted(weights, slots, importance))
        if not distribution.allows(space, architecture):
            raise UsageError(
                f"selector 'perturbation' chose {architecture}, which modifiers.limits forbid; "
                f"leave the limits out, or choose another selector."
            )
        is_argmax = space.canonical(architecture) == space.canonical(distribution.argmax(space))
        return Selection((Candidate(architecture, 1, {}, is_argmax, draws=0),))


@dataclass(frozen=True, slots=True)
class _Measure:
    """How bad the supernet is at given weights; larger is worse."""

    context: SelectionContext
    options: PerturbationSelectorOptions

    def drops(self, key: str, tables: list[_Table]) -> list[float]:
        def compute() -> Mapping[str, float]:
            return {str(n): self._badness(table) for n, table in enumerate(tables)}

        found = self.context.remember(f"perturbation/{key}", compute)
        return [found[str(n)] for n in range(len(tables))]

    @torch.no_grad()
    def _badness(self, weights: _Table) -> float:
        supernet = self.context.supernet
        was_training = supernet.training
        supernet.eval()
        measure = _MEASURES[self.options.criterion]
        total, images = 0.0, 0
        try:
            for images_, labels in self._batches():
                total += measure(self._logits(images_, weights), labels)
                images += len(labels)
        finally:
            supernet.train(was_training)
        # Nothing is worse than what is no number.
        return math.inf if math.isnan(total) else total / images

    def _logits(self, images: Tensor, weights: _Table) -> Tensor:
        try:
            logits: Tensor = self.context.supernet(images, weights)
        except Exception as error:
            if isinstance(error, BalenasError) or is_out_of_memory(error):
                raise
            raise UnfitError(
                "space",
                f"selector 'perturbation' takes operations out by setting weights to zero, also "
                f"all of a slot, and the supernet cannot compute that ({told(error)}). A row of "
                f"zeros means that the slot contributes nothing",
            ) from error
        return logits

    def _batches(self) -> list[tuple[Tensor, Tensor]]:
        batches = self.context.validation_batches
        found = [self.context.batch] if batches is None else batches()
        return [(b.images, b.labels) for b in itertools.islice(found, self.options.batches)]


def _loss(logits: Tensor, labels: Tensor) -> float:
    return functional.cross_entropy(logits, labels, reduction="sum").item()


def _wrong(logits: Tensor, labels: Tensor) -> float:
    return float((logits.argmax(-1) != labels).sum().item())


_MEASURES: Mapping[str, Callable[[Tensor, Tensor], float]] = {"loss": _loss, "accuracy": _wrong}


def _without_each(weights: _Table, name: str, row: int) -> list[_Table]:
    """Return the weights without each choice of a slot; the others keep theirs, as in the code."""
    tables = []
    for choice in range(weights[name].shape[1]):
        table = weights[name].clone()
        table[row, choice] = 0.0
        tables.append({**weights, name: table})
    return tables


def _without_slot(weights: _Table, name: str, row: int) -> _Table:
    table = weights[name].clone()
    table[row] = 0.0
    return {**weights, name: table}


def _decide(row: Tensor, choice: int) -> None:
    row.zero_()
    row[choice] = 1.0


def _weighted(
    weights: _Table, slots: list[tuple[str, int]], importance: list[float]
) -> dict[str, Tensor]:
    """Return the decided weights, larger in slots of larger importance; each choice still leads."""
    ranks = torch.tensor(importance).argsort(stable=True).argsort(stable=True)
    lead = 0.5 + 0.5 * (ranks + 1) / len(slots)
    tables = {name: table.clone() for name, table in weights.items()}
    for (name, row), value in zip(slots, lead.tolist(), strict=True):
        others = max(1, weights[name].shape[1] - 1)
        chosen = weights[name][row] == 1.0
        tables[name][row] = torch.where(chosen, value, (1 - value) / others)
    return tables
