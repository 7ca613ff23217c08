"""NAS-Bench-201 architectures as values."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from balenas_core.errors import ArchitectureError
from balenas_core.interfaces.architecture import Architecture, Cell, Edge
from balenas_core.interfaces.texts import bare_text
from balenas_core.nn import CellEdge, dag_edges
from balenas_core.plugins.suggest import did_you_mean

OPERATIONS: Final = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""The candidates of every edge, in the order of the benchmark."""

EDGES: Final[tuple[CellEdge, ...]] = dag_edges(inputs=1, nodes=3)
"""The edges of the cell, in the order of the text form."""

_EXAMPLE = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+"
    "|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
)


@dataclass(frozen=True, slots=True)
class NB201Architecture(Architecture):
    """One operation for each of the six edges, in the order of ``EDGES``.

    Raises:
        ArchitectureError: Not six operations, or an unknown one.
    """

    operations: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.operations) != len(EDGES):
            raise ArchitectureError(
                f"a NAS-Bench-201 cell has {len(EDGES)} operations, one for each of the edges "
                f"{', '.join(map(str, EDGES))}; got {len(self.operations)}."
            )
        for edge, operation in zip(EDGES, self.operations, strict=True):
            if operation not in OPERATIONS:
                raise ArchitectureError(_unknown(operation, f"on edge {edge}"))

    def __str__(self) -> str:
        nodes: dict[int, str] = {}
        for edge, operation in zip(EDGES, self.operations, strict=True):
            nodes[edge.target] = nodes.get(edge.target, "|") + f"{operation}~{edge.source}|"
        return "+".join(nodes.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NB201Architecture) and self.operations == other.operations

    def __hash__(self) -> int:
        return hash(self.operations)

    @property
    def is_connected(self) -> bool:
        """Whether a path of operations other than ``none`` leads from input to output."""
        reached = {0}
        for edge, operation in zip(EDGES, self.operations, strict=True):
            if operation != "none" and edge.source in reached:
                reached.add(edge.target)
        return EDGES[-1].target in reached

    def cells(self) -> tuple[Cell, ...]:
        """Return the one cell; nodes are called by their numbers, 0 is the input."""
        edges = tuple(
            Edge(str(edge.source), str(edge.target), operation)
            for edge, operation in zip(EDGES, self.operations, strict=True)
            if operation != "none"
        )
        return (Cell("cell", ("0",), ("1", "2", "3"), ("3",), edges),)


def all_architectures() -> Iterator[NB201Architecture]:
    """Yield all 15,625 architectures; the operation of the last edge changes fastest."""
    for operations in itertools.product(OPERATIONS, repeat=len(EDGES)):
        yield NB201Architecture(operations)


def parse(text: str) -> NB201Architecture:
    """Read the text form of the benchmark, such as ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``.

    Blanks, line breaks, quotes and what a program prints before it are left out.

    Raises:
        ArchitectureError: The text has another form; the message names the place.
    """
    stripped = _cell_text(text)
    position = 0
    operations = []
    for edge in EDGES:
        if edge.source == 0:
            opening = "|" if edge.target == 1 else "+|"
            position = _expect(stripped, opening, position)
        name = re.compile(r"[^|~+]*").match(stripped, position)
        assert name is not None, "the pattern matches an empty text too"
        if name.group() not in OPERATIONS:
            raise ArchitectureError(
                _unknown(name.group(), f"at character {position + 1} of {_shown(stripped)}")
            )
        operations.append(name.group())
        position = _expect(stripped, f"~{edge.source}|", name.end())
    if position != len(stripped):
        raise ArchitectureError(
            f"expected the end of the architecture at character {position + 1} of "
            f"{_shown(stripped)}; a cell has {len(EDGES)} operations, such as {_EXAMPLE}"
        )
    return NB201Architecture(tuple(operations))


def _cell_text(text: str) -> str:
    """Return the cell in a text such as ``Structure(4 nodes with |op~0|+|op~0|op~1|+...)``."""
    found = re.search(r"\|[^()]*\|", text)
    return "".join((found[0] if found else bare_text(text)).split())


def _expect(text: str, part: str, position: int) -> int:
    if not text.startswith(part, position):
        got = repr(text[position : position + len(part)]) if position < len(text) else "the end"
        raise ArchitectureError(
            f"expected {part!r} at character {position + 1} of {_shown(text)}, got {got}; "
            f"a NAS-Bench-201 cell reads like {_EXAMPLE}"
        )
    return position + len(part)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 200 else text[:200] + "...")


def _unknown(operation: str, where: str) -> str:
    return (
        f"unknown operation {_shown(operation)} {where}."
        f"{did_you_mean(operation, OPERATIONS)} Known: {', '.join(OPERATIONS)}."
    )


def expression(architecture: NB201Architecture, *, absent_none: bool = True) -> str:
    """Return what the cell computes, as a term in which ``skip_connect`` is the identity.

    Two cells with equal expressions compute the same function.

    Args:
        architecture: The cell.
        absent_none: Whether ``none``, and any operation on it, counts as zero; otherwise it is
            one more operation.

    References:
        Dong and Yang 2020, "NAS-Bench-201", ICLR (released code). Like it, sums
        are not flattened and keep their zeros, which gives 6,466 classes and not fewer.
    """
    terms: dict[int, list[str]] = {1: [], 2: [], 3: []}
    nodes = {0: "0"}
    for edge, operation in zip(EDGES, architecture.operations, strict=True):
        source = nodes[edge.source]
        if absent_none and (operation == "none" or source == "#"):
            term = "#"
        elif operation == "skip_connect":
            term = source
        else:
            term = f"({source})@{operation}"
        terms[edge.target].append(term)
        if edge.source == edge.target - 1:
            nodes[edge.target] = "+".join(sorted(terms[edge.target]))
    return nodes[3]


@cache
def _representatives() -> dict[str, NB201Architecture]:
    first: dict[str, NB201Architecture] = {}
    for architecture in all_architectures():
        first.setdefault(expression(architecture), architecture)
    return first


def canonical(architecture: NB201Architecture) -> NB201Architecture:
    """Return the first of all architectures with the same expression."""
    return _representatives()[expression(architecture)]
