"""Which operations compete on which edge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from torch import Tensor

from balenas_core.interfaces.space import Decision, Weights
from balenas_core.nn import CellEdge, dag_edges, edge_weighted, input_decisions, input_weights

OPERATIONS: Final = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
"""The candidates of DARTS, in the order of its logits."""

NODES: Final = 4
EDGES: Final[tuple[CellEdge, ...]] = dag_edges(inputs=2, nodes=NODES)
KINDS: Final = ("normal", "reduce")

# RobustDARTS' S1 has two candidates an edge: letters of this code, by edge.
_CODE: Final = {
    "m": "max_pool_3x3",
    "a": "avg_pool_3x3",
    "s": "skip_connect",
    "C": "sep_conv_3x3",
    "d": "dil_conv_3x3",
    "D": "dil_conv_5x5",
}
_S1: Final = {
    "normal": "sd sD  sD sC sd  ms sC sC sd  sC ms sd dD dD",
    "reduce": "ma md  ma ma sD  ma mC sd sD  ma ma sD sD sD",
}
_SETS: Final[Mapping[str, tuple[str, ...]]] = {
    "darts": OPERATIONS,
    "s2": ("skip_connect", "sep_conv_3x3"),
    "s3": ("none", "skip_connect", "sep_conv_3x3"),
    "s4": ("noise", "sep_conv_3x3"),
}


@dataclass(frozen=True, slots=True)
class Choices:
    """The candidates of every edge of both cells.

    Args:
        by_kind: Cell kind -> candidates of each edge, in the order of ``EDGES``.
        has_edge_weights: Whether the edges that enter a node have weights of their own.
    """

    by_kind: Mapping[str, tuple[tuple[str, ...], ...]]
    has_edge_weights: bool = False

    def is_uniform(self, kind: str) -> bool:
        """Whether all edges of a cell have the same candidates."""
        return len(set(self.by_kind[kind])) == 1

    def of(self, kind: str, edge: CellEdge) -> tuple[str, ...]:
        """Return the candidates of an edge."""
        return self.by_kind[kind][EDGES.index(edge)]

    def real(self, kind: str, edge: CellEdge) -> tuple[str, ...]:
        """Return the candidates of an edge without ``none``, which no architecture keeps."""
        return tuple(name for name in self.of(kind, edge) if name != "none")

    def decisions(self) -> tuple[Decision, ...]:
        """Return one table a cell, or one an edge where the edges' candidates differ.

        Tables of edge weights follow those of the operations.
        """
        return tuple(self._decisions())

    def _decisions(self) -> Iterator[Decision]:
        for kind in KINDS:
            if self.is_uniform(kind):
                yield Decision(kind, tuple(map(str, EDGES)), self.by_kind[kind][0])
            else:
                for edge in EDGES:
                    name = edge_name(kind, edge)
                    yield Decision(name, (str(edge),), self.of(kind, edge), group=kind)
        if self.has_edge_weights:
            for kind in KINDS:
                yield from input_decisions(kind, EDGES)

    def operation_weights(self, weights: Weights) -> Weights:
        """Return the weights of operations, multiplied by those of their edges if they have any.

        References:
            Xu et al. 2020, "PC-DARTS", ICLR, and released code, where operations and edges are
            kept by the same products.
        """
        if not self.has_edge_weights:
            return weights
        found: dict[str, Tensor] = {}
        for kind in KINDS:
            of_edges = input_weights(kind, EDGES, weights)
            if self.is_uniform(kind):
                found[kind] = edge_weighted(weights[kind], of_edges)
                continue
            for edge, weight in zip(EDGES, of_edges, strict=True):
                name = edge_name(kind, edge)
                found[name] = edge_weighted(weights[name], weight[None])
        return found


def edge_name(kind: str, edge: CellEdge) -> str:
    """Return the name of the decision of one edge."""
    return f"{kind}_{edge.target}_{edge.source}"


def choices(operations: str | tuple[str, ...], *, has_edge_weights: bool = False) -> Choices:
    """Return the candidates that an option names.

    Args:
        operations: ``"darts"``, ``"s1"`` to ``"s4"``, or names of operations for every edge.
        has_edge_weights: Whether the edges that enter a node have weights of their own.

    References:
        Zela et al. 2020, "Understanding and Robustifying Differentiable Architecture Search",
        ICLR.
    """
    if operations == "s1":
        return Choices(
            {
                kind: tuple(tuple(_CODE[letter] for letter in pair) for pair in table.split())
                for kind, table in _S1.items()
            },
            has_edge_weights,
        )
    names = _SETS[operations] if isinstance(operations, str) else operations
    return Choices({kind: (names,) * len(EDGES) for kind in KINDS}, has_edge_weights)
