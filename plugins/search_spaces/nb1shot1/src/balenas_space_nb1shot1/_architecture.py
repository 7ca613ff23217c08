"""NAS-Bench-1Shot1 architectures as values."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from balenas_core.errors import ArchitectureError
from balenas_core.interfaces.architecture import Architecture, Cell, Edge
from balenas_core.interfaces.texts import bare_text
from balenas_core.plugins.suggest import did_you_mean
from balenas_space_nb1shot1._topology import NB101_OPERATIONS, OPERATIONS, Topology


@dataclass(frozen=True, slots=True)
class NB1Shot1Architecture(Architecture):
    """An operation for each choice block, and the parents of each node.

    Its text form lists the nodes with their parents:
    ``conv3x3-bn-relu(0)|maxpool3x3(0,1)|conv1x1-bn-relu(0,2)|conv3x3-bn-relu(1,3)|output(0,4)``.

    Args:
        operations: Of node 1, 2, ...
        parents: Of node 1, 2, ... and of the output, each in increasing order.

    Raises:
        ArchitectureError: An unknown operation, or parents that are not earlier nodes.
    """

    operations: tuple[str, ...]
    parents: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if len(self.parents) != len(self.operations) + 1:
            raise ArchitectureError(
                f"expected parents of {len(self.operations)} nodes and of the output; "
                f"got {len(self.parents)}."
            )
        for node, operation in enumerate(self.operations, start=1):
            if operation not in OPERATIONS:
                raise ArchitectureError(
                    f"unknown operation {operation!r} at node {node}."
                    f"{did_you_mean(operation, OPERATIONS)} Known: {', '.join(OPERATIONS)}."
                )
        for node, parents in enumerate(self.parents, start=1):
            if not parents or list(parents) != sorted(set(parents) & set(range(node))):
                raise ArchitectureError(
                    f"parents of node {node} must be nodes 0 to {node - 1}, each once and in "
                    f"increasing order; got {list(parents)}."
                )

    def __str__(self) -> str:
        names = (*self.operations, "output")
        return "|".join(
            f"{name}({','.join(map(str, parents))})"
            for name, parents in zip(names, self.parents, strict=True)
        )

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, NB1Shot1Architecture)
            and self.operations == other.operations
            and self.parents == other.parents
        )

    def __hash__(self) -> int:
        return hash((self.operations, self.parents))

    def used_nodes(self) -> tuple[int, ...]:
        """Return the choice blocks that lead to the output, in order."""
        output = len(self.parents)
        used = {output}
        for node in range(output, 0, -1):
            if node in used:
                used.update(self.parents[node - 1])
        return tuple(sorted(used - {0, output}))

    def cells(self) -> tuple[Cell, ...]:
        """Return the cell; an edge carries the operation of the node that it enters."""
        output = len(self.parents)
        names = {node: str(node) for node in range(output)} | {0: "input", output: "output"}
        edges = tuple(
            Edge(names[parent], names[node], (*self.operations, "skip")[node - 1])
            for node, parents in enumerate(self.parents, start=1)
            for parent in parents
        )
        nodes = tuple(names[node] for node in range(1, output + 1))
        return (Cell("cell", ("input",), nodes, ("output",), edges),)


def outside(architecture: NB1Shot1Architecture, topology: Topology) -> str:
    """Return why an architecture is not one of a space, or an empty string."""
    if len(architecture.operations) != topology.blocks:
        return (
            f"space {topology.name} has {topology.blocks} choice blocks; "
            f"got {len(architecture.operations)}."
        )
    for node, parents in enumerate(architecture.parents, start=1):
        if len(parents) != topology.count(node):
            what = "the output" if node == len(architecture.parents) else f"node {node}"
            return (
                f"{what} has {topology.count(node)} parents in space {topology.name}; "
                f"got {list(parents)}."
            )
    return ""


def parse(text: str, topology: Topology) -> NB1Shot1Architecture:
    """Read the text form; blanks, line breaks and quotes around it are left out.

    Raises:
        ArchitectureError: It has another form, or is not in the space.
    """
    stripped = "".join(bare_text(text).split())
    names: list[str] = []
    parents: list[tuple[int, ...]] = []
    position = 0
    for part in stripped.split("|"):
        match = re.fullmatch(r"([^()|]*)\(([0-9]{1,2}(?:,[0-9]{1,2})*)\)", part)
        if match is None:
            shown = repr(part if len(part) <= 60 else part[:57] + "...")
            raise ArchitectureError(
                f"expected operation(parent,...) at character {position + 1}, got {shown}; "
                f"an architecture reads like conv3x3-bn-relu(0)|maxpool3x3(0,1)|...|output(0,2)"
            )
        names.append(match.group(1))
        parents.append(tuple(int(number) for number in match.group(2).split(",")))
        position += len(part) + 1
    if names[-1] != "output":
        raise ArchitectureError(f"the last part must be output(parent,...); got {part!r}.")
    architecture = NB1Shot1Architecture(tuple(names[:-1]), tuple(parents))
    if reason := outside(architecture, topology):
        raise ArchitectureError(reason)
    return architecture


def canonical(architecture: NB1Shot1Architecture, topology: Topology) -> NB1Shot1Architecture:
    """Return the smallest architecture of the space with the same cell.

    Nodes that do not lead to the output are replaced by max pooling of the first nodes; the
    others are renumbered in every way that the numbers of parents allow.
    """
    used = architecture.used_nodes()
    placements = itertools.permutations(range(1, topology.blocks + 1), len(used))
    found = [
        placed
        for places in placements
        if (placed := _place(architecture, topology, dict(zip(used, places, strict=True))))
    ]
    return min(found, key=lambda a: (a.parents, a.operations))


def _place(
    architecture: NB1Shot1Architecture, topology: Topology, places: dict[int, int]
) -> NB1Shot1Architecture | None:
    output = topology.blocks + 1
    number = {0: 0, output: output} | places
    operations = [OPERATIONS[0]] * topology.blocks
    parents = [tuple(range(topology.count(node))) for node in topology.nodes]
    for old in (*places, output):
        new = number[old]
        renamed = tuple(sorted(number[parent] for parent in architecture.parents[old - 1]))
        if len(renamed) != topology.count(new) or renamed[-1] >= new:
            return None
        parents[new - 1] = renamed
        if old != output:
            operations[new - 1] = architecture.operations[old - 1]
    return NB1Shot1Architecture(tuple(operations), tuple(parents))


def all_architectures(topology: Topology) -> Iterator[NB1Shot1Architecture]:
    """Yield every configuration: parents change slowest, the last operation fastest.

    Operations are in the order of NAS-Bench-101.
    """
    for parents in topology.parent_sets():
        for operations in itertools.product(NB101_OPERATIONS, repeat=topology.blocks):
            yield NB1Shot1Architecture(operations, parents)


def position(architecture: NB1Shot1Architecture, topology: Topology) -> int:
    """Return the place of an architecture in ``all_architectures``."""
    index = 0
    for node, parents in zip(topology.nodes, architecture.parents, strict=True):
        sets = list(itertools.combinations(range(node), topology.count(node)))
        index = index * len(sets) + sets.index(parents)
    for name in architecture.operations:
        index = index * len(NB101_OPERATIONS) + NB101_OPERATIONS.index(name)
    return index
