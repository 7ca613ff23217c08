"""Cells as directed acyclic graphs over numbered nodes. Imports no torch."""

from __future__ import annotations

from typing import NamedTuple


class CellEdge(NamedTuple):
    """An edge from node ``source`` to a later node ``target``."""

    source: int
    target: int

    def __str__(self) -> str:
        return f"{self.target}<-{self.source}"


def dag_edges(inputs: int, nodes: int) -> tuple[CellEdge, ...]:
    """Return every edge of a densely connected cell, by target, then by source.

    Args:
        inputs: Number of input nodes; they are numbered from 0.
        nodes: Number of inner nodes, numbered on from there. Each takes an edge from every
            earlier node.

    Example:
        >>> [str(edge) for edge in dag_edges(1, 3)]
        ['1<-0', '2<-0', '2<-1', '3<-0', '3<-1', '3<-2']
    """
    return tuple(
        CellEdge(source, target)
        for target in range(inputs, inputs + nodes)
        for source in range(target)
    )
