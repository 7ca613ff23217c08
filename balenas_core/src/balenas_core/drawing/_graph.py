"""What can be drawn, by its shape: drawings know no search space and no class of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class DrawnEdge(Protocol):
    """One operation between two nodes."""

    @property
    def source(self) -> str:
        """Name of the node that it reads."""

    @property
    def target(self) -> str:
        """Name of the node that it is added to."""

    @property
    def operation(self) -> str:
        """Its label."""


class DrawnCell(Protocol):
    """A cell as a graph."""

    @property
    def heading(self) -> str:
        """What stands above it."""

    @property
    def inputs(self) -> Sequence[str]:
        """Names of its input nodes."""

    @property
    def nodes(self) -> Sequence[str]:
        """Names of its inner nodes, sources first."""

    @property
    def outputs(self) -> Sequence[str]:
        """Nodes that form the output."""

    @property
    def edges(self) -> Sequence[DrawnEdge]:
        """Its operations."""


class DrawnArchitecture(Protocol):
    """Cells, and a text form by ``str``."""

    def cells(self) -> Sequence[DrawnCell]:
        """Return its cells."""
