"""Edges of a supernet: weighted sums of candidate operations."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class EdgeWeights:
    """Architecture weights of one edge.

    Args:
        row: `choices`-dim tensor.
        values: The same numbers, to tell without a device's help which are zero.
    """

    row: Tensor
    values: tuple[float, ...]


def edge_weights(weights: Tensor) -> list[EdgeWeights]:
    """Split a `slots x choices`-dim tensor into its rows, with one transfer to the host."""
    values = weights.detach().tolist()
    return [
        EdgeWeights(row, tuple(numbers))
        for row, numbers in zip(weights.unbind(0), values, strict=True)
    ]


class MixedEdge(nn.Module):
    """sum_k weight_k * operation_k(x); operations of weight zero are not computed.

    Args:
        choices: Names of the candidates, in the order of the weights.
        operations: Module by name. A choice without one is the zero operation.
    """

    def __init__(self, choices: Sequence[str], operations: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.choices = tuple(choices)
        self.operations = nn.ModuleDict(
            {name: operations[name] for name in self.choices if name in operations}
        )

    def copy_of(self, name: str) -> nn.Module | None:
        """Return a copy of one operation with its weights; None for the zero operation."""
        return copy.deepcopy(self.operations[name]) if name in self.operations else None

    def forward(self, x: Tensor, weights: EdgeWeights) -> Tensor | None:
        """Return the weighted sum, or None if it has no term.

        Args:
            x: `batch x channels x height x width`-dim features.
            weights: Weights of the choices.
        """
        total: Tensor | None = None
        for k, (name, value) in enumerate(zip(self.choices, weights.values, strict=True)):
            if value == 0.0 or name not in self.operations:
                continue
            term = weights.row[k] * self.operations[name](x)
            total = term if total is None else total + term
        return total
