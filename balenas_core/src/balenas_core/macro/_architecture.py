"""Macro architectures as values. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from balenas_core.interfaces.architecture import Architecture, Cell, Edge

SKIP: Final = "skip"
"""The choice that leaves a layer out."""


@dataclass(frozen=True, slots=True)
class MacroArchitecture(Architecture):
    """The chosen block of every layer, by stage.

    Its text form has ``|`` between layers and ``/`` between stages: ``k3e6|skip/k5e3+se|k3e3``.
    """

    stages: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        return "/".join("|".join(stage) for stage in self.stages)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MacroArchitecture) and self.stages == other.stages

    def __hash__(self) -> int:
        return hash(self.stages)

    def cells(self) -> tuple[Cell, ...]:
        """Return each stage as a chain; layers that are left out are not drawn."""
        return tuple(_chain(f"stage {n}", stage) for n, stage in enumerate(self.stages, start=1))


def _chain(name: str, stage: tuple[str, ...]) -> Cell:
    blocks = [(str(n), block) for n, block in enumerate(stage, start=1) if block != SKIP]
    nodes = ("in", *(node for node, _ in blocks))
    edges = tuple(
        Edge(source, target, block) for source, (target, block) in zip(nodes, blocks, strict=False)
    )
    return Cell(name, ("in",), nodes[1:], nodes[-1:], edges)
