"""Architectures as values, and their cells as graphs for drawing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass


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

    def to_text(self) -> str:
        """Draw the cell with one line per inner node."""
        width = max(len(node) for node in (*self.inputs, *self.nodes))
        lines = [f"{self.name} cell: {', '.join(self.inputs)} -> {' + '.join(self.outputs)}"]
        for node in self.nodes:
            terms = [f"{e.operation}({e.source})" for e in self.edges if e.target == node]
            lines.append(f"  {node:<{width}} = {' + '.join(terms) or '0'}")
        return "\n".join(lines)


class Architecture(ABC):
    """One architecture of a search space: an immutable, hashable value.

    ``str(architecture)`` is its text form, which the space's ``parse`` reads back.
    """

    __slots__ = ()

    @abstractmethod
    def __str__(self) -> str:
        """Return the text form."""

    @abstractmethod
    def __hash__(self) -> int:
        """Equal architectures have equal hashes."""

    @abstractmethod
    def __eq__(self, other: object) -> bool:
        """Whether every decision is the same."""

    @abstractmethod
    def cells(self) -> tuple[Cell, ...]:
        """Return the cells as graphs."""
