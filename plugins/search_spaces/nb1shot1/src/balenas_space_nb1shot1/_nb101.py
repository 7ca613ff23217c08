"""Cells in the form of NAS-Bench-101: a matrix, operations, and the benchmark's hash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from balenas_space_nb1shot1._architecture import NB1Shot1Architecture
from balenas_space_nb1shot1._topology import NB101_OPERATIONS

VERTICES: Final = 7


@dataclass(frozen=True, slots=True)
class NB101Cell:
    """A cell of NAS-Bench-101.

    Args:
        matrix: Upper triangular; ``matrix[i][j]`` is 1 for an edge from vertex i to j. Vertex 0
            is the input, the last the output.
        operations: Of the vertices between them.
    """

    matrix: tuple[tuple[int, ...], ...]
    operations: tuple[str, ...]

    @property
    def vertices(self) -> int:
        """Number of vertices."""
        return len(self.matrix)

    def pruned(self) -> NB101Cell:
        """Return the cell without vertices that are on no path from input to output."""
        count = self.vertices
        forward, backward = {0}, {count - 1}
        for vertex in range(1, count):
            if any(self.matrix[source][vertex] for source in forward):
                forward.add(vertex)
        for vertex in range(count - 2, -1, -1):
            if any(self.matrix[vertex][target] for target in backward):
                backward.add(vertex)
        kept = sorted((forward & backward) | {0, count - 1})
        matrix = tuple(tuple(self.matrix[i][j] for j in kept) for i in kept)
        return NB101Cell(matrix, tuple(self.operations[v - 1] for v in kept[1:-1]))


def to_nb101(architecture: NB1Shot1Architecture) -> NB101Cell:
    """Return the cell in the 7 x 7 form.

    Spaces of four choice blocks get an unconnected 1x1 convolution before the output.
    """
    blocks = len(architecture.operations)
    number = {node: node for node in range(blocks + 1)} | {blocks + 1: VERTICES - 1}
    matrix = [[0] * VERTICES for _ in range(VERTICES)]
    for node, parents in enumerate(architecture.parents, start=1):
        for parent in parents:
            matrix[number[parent]][number[node]] = 1
    padding = ("conv1x1-bn-relu",) * (VERTICES - 2 - blocks)
    return NB101Cell(tuple(map(tuple, matrix)), architecture.operations + padding)


def module_hash(cell: NB101Cell) -> str:
    """Return NAS-Bench-101's hash of a pruned cell, equal for isomorphic cells.

    References:
        Ying et al. 2019, "NAS-Bench-101", ICML (released code, ``hash_module``): each round
        replaces the hash of a vertex by one of its neighbours' hashes and its own.
    """
    count = cell.vertices
    labels = (-1, *(NB101_OPERATIONS.index(name) for name in cell.operations), -2)
    sources = [[i for i in range(count) if cell.matrix[i][v]] for v in range(count)]
    targets = [[j for j in range(count) if cell.matrix[v][j]] for v in range(count)]
    hashes = [_md5(str((len(targets[v]), len(sources[v]), labels[v]))) for v in range(count)]
    for _ in range(count):
        hashes = [
            _md5(
                "".join(sorted(hashes[w] for w in sources[v]))
                + "|"
                + "".join(sorted(hashes[w] for w in targets[v]))
                + "|"
                + hashes[v]
            )
            for v in range(count)
        ]
    return _md5(str(sorted(hashes)))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def vertex_channels(cell: NB101Cell, channels_in: int, channels_out: int) -> list[int]:
    """Return the channels of every vertex of a pruned cell.

    Those that lead to the output share its channels, the first of them one more each if it
    does not divide evenly; the others have the most that any of their targets has.

    References:
        Ying et al. 2019, "NAS-Bench-101", ICML (released code, ``compute_vertex_channels``).
    """
    last = cell.vertices - 1
    channels = [0] * cell.vertices
    channels[0], channels[last] = channels_in, channels_out
    to_output = [v for v in range(1, last) if cell.matrix[v][last]]
    for position, vertex in enumerate(to_output):
        share, rest = divmod(channels_out, len(to_output))
        channels[vertex] = share + (position < rest)
    for vertex in range(last - 1, 0, -1):
        if vertex not in to_output:
            channels[vertex] = max(
                channels[target]
                for target in range(vertex + 1, last)
                if cell.matrix[vertex][target]
            )
    return channels
