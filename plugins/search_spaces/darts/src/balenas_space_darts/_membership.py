"""Whether an architecture belongs to a space of given candidates."""

from __future__ import annotations

from balenas_core.errors import ArchitectureError
from balenas_core.nn import CellEdge
from balenas_space_darts._architecture import DartsArchitecture, DartsCell
from balenas_space_darts._choices import NODES, Choices


def outside(kind: str, cell: DartsCell, choices: Choices) -> str:
    """Return why a cell is not one of the space, or an empty string."""
    inner = tuple(range(2, 2 + NODES))
    if cell.nodes != NODES:
        return f"a cell of this space has {NODES} inner nodes; the {kind} cell has {cell.nodes}."
    if cell.concat != inner:
        return (
            f"a cell of this space concatenates nodes {list(inner)}; "
            f"the {kind} cell concatenates {list(cell.concat)}."
        )
    for position, (name, source) in enumerate(cell.pairs):
        edge = CellEdge(source, 2 + position // 2)
        known = choices.real(kind, edge)
        if name not in known:
            return (
                f"operation {name!r} is not a candidate of edge {edge} of the {kind} cell; "
                f"candidates: {', '.join(known)}. "
                f"Widen the space's option 'operations', or choose another architecture."
            )
    return ""


def check_is_in_space(architecture: DartsArchitecture, choices: Choices) -> None:
    """Check that a supernet of these candidates holds an architecture.

    Raises:
        ArchitectureError: It does not.
    """
    for kind, cell in architecture.by_kind():
        if reason := outside(kind, cell, choices):
            raise ArchitectureError(reason)
