"""DARTS architectures ("genotypes") as values."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from balenas_core.errors import ArchitectureError
from balenas_core.interfaces.architecture import Architecture, Cell, Edge
from balenas_core.plugins.suggest import did_you_mean
from balenas_space_darts._choices import OPERATIONS

BUILDABLE: Final = (*OPERATIONS[1:], "noise", "sep_conv_7x7", "conv_7x1_1x7")
"""Operations that a network can be built of; the last two are in published cells only."""

Pair = tuple[str, int]
"""An operation and the node it is applied to, as in the text form."""


@dataclass(frozen=True, slots=True)
class DartsCell:
    """A cell whose nodes each sum two operations on earlier nodes.

    Nodes 0 and 1 are the outputs of the cells before; node 2 + i has the pairs 2i and 2i + 1.

    Args:
        pairs: Operations with their inputs.
        concat: Nodes whose concatenation is the output, in increasing order.

    Raises:
        ArchitectureError: An unknown operation, an input that is not an earlier node, an odd
            number of pairs, or an invalid concatenation.
    """

    pairs: tuple[Pair, ...]
    concat: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.pairs or len(self.pairs) % 2:
            raise ArchitectureError(
                f"a cell has two operations for each node; got {len(self.pairs)} operations."
            )
        for position, (operation, source) in enumerate(self.pairs):
            _check_pair(operation, source, node=2 + position // 2)
        inner = range(2, 2 + self.nodes)
        if not self.concat or list(self.concat) != sorted(set(self.concat) & set(inner)):
            raise ArchitectureError(
                f"the concatenation must name nodes {inner.start} to {inner.stop - 1}, each once "
                f"and in increasing order; got {list(self.concat)}."
            )

    @property
    def nodes(self) -> int:
        """Number of inner nodes."""
        return len(self.pairs) // 2

    def sources(self, node: int) -> tuple[Pair, Pair]:
        """Return the two pairs of an inner node; the first inner node is 2."""
        first = 2 * (node - 2)
        return self.pairs[first], self.pairs[first + 1]

    def renumbered(self, order: tuple[int, ...]) -> DartsCell | None:
        """Return the same cell with inner node ``order[i]`` as node 2 + i, pairs sorted.

        None if that puts a node before one of its inputs.
        """
        number = {0: 0, 1: 1} | {old: 2 + new for new, old in enumerate(order)}
        pairs: list[Pair] = []
        for old in order:
            renamed = sorted((number[source], name) for name, source in self.sources(old))
            if renamed[-1][0] >= number[old]:
                return None
            pairs += [(name, source) for source, name in renamed]
        return DartsCell(tuple(pairs), tuple(sorted(number[node] for node in self.concat)))

    def renumberings(self) -> list[DartsCell]:
        """Return all isomorphic cells, smallest first, with the pairs of each node sorted."""
        orders = itertools.permutations(range(2, 2 + self.nodes))
        cells = [cell for order in orders if (cell := self.renumbered(order)) is not None]
        return sorted(cells, key=lambda cell: ([(s, n) for n, s in cell.pairs], cell.concat))

    def graph(self, name: str) -> Cell:
        """Return the cell as a graph."""
        nodes = ("c_{k-2}", "c_{k-1}", *(str(node) for node in range(2, 2 + self.nodes)))
        edges = tuple(
            Edge(nodes[source], nodes[2 + position // 2], operation)
            for position, (operation, source) in enumerate(self.pairs)
        )
        outputs = tuple(nodes[node] for node in self.concat)
        return Cell(name, nodes[:2], nodes[2:], outputs, edges)


def _check_pair(operation: str, source: int, *, node: int) -> None:
    if operation not in BUILDABLE:
        hint = did_you_mean(operation, BUILDABLE)
        if operation == "none":
            hint = " Node inputs that are absent are left out: each node has exactly two others."
        raise ArchitectureError(
            f"unknown operation {operation!r} at node {node}.{hint} Known: {', '.join(BUILDABLE)}."
        )
    if not 0 <= source < node:
        raise ArchitectureError(
            f"node {node} takes input from nodes 0 to {node - 1}; got ({operation!r}, {source})."
        )


@dataclass(frozen=True, slots=True)
class DartsArchitecture(Architecture):
    """A normal and a reduction cell.

    ``str`` gives the text form of the DARTS code, ``Genotype(normal=[('op', input), ...],
    normal_concat=range(2, 6), reduce=[...], reduce_concat=range(2, 6))``.
    """

    normal: DartsCell
    reduce: DartsCell

    def __str__(self) -> str:
        return (
            f"Genotype(normal={list(self.normal.pairs)}, "
            f"normal_concat={_concat_text(self.normal.concat)}, "
            f"reduce={list(self.reduce.pairs)}, "
            f"reduce_concat={_concat_text(self.reduce.concat)})"
        )

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, DartsArchitecture)
            and self.normal == other.normal
            and self.reduce == other.reduce
        )

    def __hash__(self) -> int:
        return hash((self.normal, self.reduce))

    def by_kind(self) -> Iterator[tuple[str, DartsCell]]:
        """Yield ``("normal", cell)`` and ``("reduce", cell)``."""
        yield "normal", self.normal
        yield "reduce", self.reduce

    def cells(self) -> tuple[Cell, ...]:
        """Return the normal and the reduction cell."""
        return tuple(cell.graph(kind) for kind, cell in self.by_kind())


def _concat_text(concat: tuple[int, ...]) -> str:
    contiguous = range(concat[0], concat[-1] + 1)
    return str(contiguous) if concat == tuple(contiguous) else str(list(concat))
