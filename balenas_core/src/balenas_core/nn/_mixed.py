"""Edges of a supernet: weighted sums of candidate operations."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from balenas_core.nn._functions import runs_plain
from balenas_core.nn._partial import PartialOperation, Partition
from balenas_core.nn._sharing import NodeSum, SharingOperation, Source


@dataclass(frozen=True, slots=True)
class EdgeWeights:
    """Architecture weights of one edge.

    Args:
        row: One scalar tensor for each choice.
        numbers: The same as numbers.
    """

    row: tuple[Tensor, ...]
    numbers: tuple[float, ...]
    are_zero: tuple[bool, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "are_zero", tuple(number == 0.0 for number in self.numbers))

    @property
    def values(self) -> tuple[float, ...]:
        """The numbers, to tell without a device's help which are zero.

        While a compiler traces, all others are one: it compiles again for every new number.
        """
        if runs_plain():
            return tuple(0.0 if is_zero else 1.0 for is_zero in self.are_zero)
        return self.numbers


def edge_weights(weights: Tensor) -> list[EdgeWeights]:
    """Split a `slots x choices`-dim tensor into its rows, with one transfer to the host."""
    slots, choices = weights.shape
    values = _numbers(weights.detach().flatten())
    scalars = weights.flatten().unbind(0)
    return [
        EdgeWeights(scalars[start : start + choices], tuple(values[start : start + choices]))
        for start in range(0, slots * choices, choices)
    ]


def _numbers(weights: Tensor) -> list[float]:
    try:
        numbers: list[float] = weights.tolist()
    except RuntimeError:
        if not runs_plain():
            raise
        # Inside of vmap over the weights a weight has many numbers; none of them may be zero.
        return [1.0] * len(weights)
    return numbers


class MixedEdge(nn.Module):
    """sum_k weight_k * operation_k(x); operations of weight zero are not computed.

    Args:
        choices: Names of the candidates, in the order of the weights.
        operations: Module by name. A choice without one is the zero operation.
        partition: Channels that the operations see; None for all of them.
    """

    def __init__(
        self,
        choices: Sequence[str],
        operations: Mapping[str, nn.Module],
        partition: Partition | None = None,
    ) -> None:
        super().__init__()
        self.partition = partition
        self.choices = tuple(choices)
        self.operations = nn.ModuleDict(
            {name: operations[name] for name in self.choices if name in operations}
        )

    def copy_of(self, name: str) -> nn.Module | None:
        """Return a copy of one operation with its weights; None for the zero operation."""
        if name not in self.operations:
            return None
        operation = copy.deepcopy(self.operations[name])
        return operation if self.partition is None else PartialOperation(operation, self.partition)

    def accumulate(self, source: Source, weights: EdgeWeights, total: NodeSum) -> None:
        """Add the weighted sum to that of a node.

        Args:
            source: Features, with what the operations on them share.
            weights: Weights of the choices.
            total: The sum at the node that the edge leads to.
        """
        terms = [
            (self.operations[name], weight, value)
            for name, weight, value in zip(self.choices, weights.row, weights.values, strict=True)
            if value != 0.0 and name in self.operations
        ]
        if self.partition is not None and terms:
            _, scalars, values = zip(*terms, strict=True)
            seen, passed = total.partial(self.partition)
            passed.add_scaled(
                source.passed(self.partition), torch.stack(scalars).sum(), sum(values)
            )
            source, total = source.seen(self.partition), seen
        for operation, weight, value in terms:
            if isinstance(operation, SharingOperation):
                operation.accumulate(source, weight, value, total)
            else:
                total.add_scaled(operation(source.features), weight, value)

    def forward(self, x: Tensor, weights: EdgeWeights) -> Tensor | None:
        """Return the weighted sum alone, or None if it has no term.

        Args:
            x: `batch x channels x height x width`-dim features.
            weights: Weights of the choices.
        """
        total = NodeSum()
        self.accumulate(Source(x), weights, total)
        return total.result()
