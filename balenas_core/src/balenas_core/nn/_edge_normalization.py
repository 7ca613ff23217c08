"""Edge normalisation: learned weights of the edges that enter a node."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from operator import attrgetter

import torch
from torch import Tensor

from balenas_core.interfaces.space import Decision, Weights
from balenas_core.nn._dag import CellEdge


def input_decisions(cell: str, edges: Sequence[CellEdge]) -> tuple[Decision, ...]:
    """Return a table for each node of several inputs, with a choice for each of its edges.

    A distribution puts a softmax over the choices of a table, which is the normalisation; and
    since these tables are decisions like others, every optimizer learns them.

    Args:
        cell: Name of the cell, which begins the names of the tables.
        edges: Its edges, by target.

    References:
        Xu et al. 2020, "PC-DARTS", ICLR (edge normalization).
    """
    return tuple(
        Decision(
            _name(cell, target),
            (str(target),),
            tuple(str(edge.source) for edge in entering),
            weighs_edges=True,
        )
        for target, entering in _by_target(edges)
        if len(entering) > 1
    )


def input_weights(cell: str, edges: Sequence[CellEdge], weights: Weights) -> Tensor:
    """Return the `edges`-dim weights of a cell's edges; one for a node's only edge."""
    one = next(iter(weights.values())).new_ones(1)
    return torch.cat(
        [
            weights[_name(cell, target)][0] if len(entering) > 1 else one
            for target, entering in _by_target(edges)
        ]
    )


def input_one_hot(
    cell: str, edges: Sequence[CellEdge], used: Collection[CellEdge]
) -> dict[str, Tensor]:
    """Return the tables of ``input_decisions`` with a one for each edge that is used."""
    return {
        _name(cell, target): torch.tensor([[float(edge in used) for edge in entering]])
        for target, entering in _by_target(edges)
        if len(entering) > 1
    }


def edge_weighted(operations: Tensor, edges: Tensor) -> Tensor:
    """Return `edges x choices`-dim weights of operations times those of their edges.

    What is below zero was struck from a discretisation, and stays below every other weight.
    """
    return torch.where(operations < 0, operations, operations * edges[:, None])


def _by_target(edges: Sequence[CellEdge]) -> Iterator[tuple[int, list[CellEdge]]]:
    for target, entering in groupby(edges, key=attrgetter("target")):
        yield target, list(entering)


def _name(cell: str, target: int) -> str:
    return f"{cell}_inputs_{target}"
