"""Architectures as values, and their cells as graphs for drawing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from balenas_core.drawing import draw_architecture, draw_cell


@dataclass(frozen=True, slots=True)
class Edge:
    """One operation of a cell: ``operation`` applied to ``source``, added to ``target``."""

    source: str
    target: str
    operation: str


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell as a graph, in the order in which it is computed.

    Args:
        name: What the cell is called in its space, such as ``"normal"``.
        inputs: Names of its input nodes.
        nodes: Names of its inner nodes, sources first.
        outputs: Nodes that form the output (summed or concatenated, as the space says).
        edges: Its operations; those that are absent (``none``) are left out.
    """

    name: str
    inputs: tuple[str, ...]
    nodes: tuple[str, ...]
    outputs: tuple[str, ...]
    edges: tuple[Edge, ...]

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Cell:
        """Return the cell that ``dataclasses.asdict`` made plain data of."""
        names = {key: tuple(row[key]) for key in ("inputs", "nodes", "outputs")}
        edges = tuple(Edge(e["source"], e["target"], e["operation"]) for e in row["edges"])
        return cls(row["name"], **names, edges=edges)

    @property
    def heading(self) -> str:
        """What stands above a drawing of the cell: its name as that of a cell."""
        return self.name if self.name.endswith("cell") else f"{self.name} cell"

    def _repr_svg_(self) -> str:
        """Draw the cell in a notebook."""
        return draw_cell(self)

    def to_text(self) -> str:
        """Draw the cell, one line per operation.

        The operations that end in a bracket are added at the node that it points to.

        Example:
            >>> edges = (Edge("0", "1", "conv"), Edge("0", "2", "skip"), Edge("1", "2", "pool"))
            >>> print(Cell("normal", ("0",), ("1", "2"), ("1", "2"), edges).to_text())
            normal cell
              0 ── conv ───▶ 1
              0 ── skip ─┐
              1 ── pool ─┴─▶ 2
              1, 2 ────────▶ output
        """
        sources = max((len(e.source) for e in self.edges), default=1)
        operations = max((len(e.operation) for e in self.edges), default=1)
        arrow = sources + operations + 6  # column at which every bracket stands
        lines = [self.heading]
        for node in self.nodes:
            incoming = [e for e in self.edges if e.target == node]
            if not incoming:
                lines.append(f"  {'nothing ':─<{arrow}}──▶ {node}")
            for position, edge in enumerate(incoming, start=1):
                operation = f"{edge.operation} ".ljust(operations + 2, "─")
                bracket = _bracket(position, len(incoming))
                end = f"{bracket}─▶ {node}" if position == len(incoming) else bracket
                lines.append(f"  {edge.source:<{sources}} ── {operation}{end}")
        if self.outputs != ("output",):
            lines.append(f"  {', '.join(self.outputs) + ' ':─<{arrow}}──▶ output")
        return "\n".join(lines)


def _bracket(position: int, count: int) -> str:
    if count == 1:
        return "─"
    return "┐" if position == 1 else "┴" if position == count else "┤"


class Architecture(ABC):
    """One architecture of a search space: an immutable, hashable value.

    Make it a frozen dataclass, for equality and hash. ``str(architecture)`` is its text form,
    which the space's ``parse`` reads back.
    """

    __slots__ = ()

    @abstractmethod
    def __str__(self) -> str:
        """Return the text form."""

    @abstractmethod
    def cells(self) -> tuple[Cell, ...]:
        """Return the cells as graphs."""

    def _repr_svg_(self) -> str:
        """Draw the cells in a notebook."""
        return draw_architecture(self)
