"""All configurations of a space at once: their text forms and the hashes of their cells."""

from __future__ import annotations

import itertools
import math
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

from balenas_space_nb1shot1._architecture import NB1Shot1Architecture
from balenas_space_nb1shot1._nb101 import NB101Cell, module_hash, to_nb101
from balenas_space_nb1shot1._topology import NB101_OPERATIONS, Topology

_Matrix = tuple[tuple[int, ...], ...]


def architecture_at(position: int, topology: Topology) -> NB1Shot1Architecture:
    """Return the architecture at a place of ``all_architectures``.

    Raises:
        IndexError: There is no such place.
    """
    if not 0 <= position < topology.size():
        raise IndexError(f"{topology.name} has places 0 to {topology.size() - 1}; got {position}")
    operations = []
    for _ in range(topology.blocks):
        position, choice = divmod(position, len(NB101_OPERATIONS))
        operations.append(NB101_OPERATIONS[choice])
    parents = []
    for node in reversed(topology.nodes):
        position, choice = divmod(position, math.comb(node, topology.count(node)))
        sets = itertools.combinations(range(node), topology.count(node))
        parents.append(next(itertools.islice(sets, choice, None)))
    return NB1Shot1Architecture(tuple(reversed(operations)), tuple(reversed(parents)))


@cache
def configuration_hashes(topology: Topology) -> NDArray[np.bytes_]:
    """Return NAS-Bench-101's hash of every configuration, in the order of ``all_architectures``.

    Configurations are brought to one numbering of their nodes first, because there are a
    million of them in ``s3`` and only 55,854 cells to hash.
    """
    count = len(NB101_OPERATIONS)
    operations = np.array(list(itertools.product(range(count), repeat=topology.blocks)))
    hashes: dict[tuple[_Matrix, int], str] = {}
    found = []
    for parents in topology.parent_sets():
        any_operations = (NB101_OPERATIONS[0],) * topology.blocks
        architecture = NB1Shot1Architecture(any_operations, parents)
        blocks = [node - 1 for node in architecture.used_nodes()]
        matrix, orders = _smallest(to_nb101(architecture).pruned().matrix)
        places = count ** np.arange(len(blocks) - 1, -1, -1)
        codes = np.min([operations[:, blocks][:, order] @ places for order in orders], axis=0)
        distinct, inverse = np.unique(codes, return_inverse=True)
        row = [_hash(matrix, code, len(blocks), hashes) for code in distinct.tolist()]
        found.append(np.array(row, dtype=np.bytes_)[inverse])
    hashes_of_all = np.concatenate(found)
    hashes_of_all.setflags(write=False)  # it is the one in the cache
    return hashes_of_all


def _hash(matrix: _Matrix, code: int, blocks: int, known: dict[tuple[_Matrix, int], str]) -> str:
    if (matrix, code) not in known:
        names = []
        rest = code
        for _ in range(blocks):
            rest, choice = divmod(rest, len(NB101_OPERATIONS))
            names.append(NB101_OPERATIONS[choice])
        known[matrix, code] = module_hash(NB101Cell(matrix, tuple(reversed(names))))
    return known[matrix, code]


@cache
def _smallest(matrix: _Matrix) -> tuple[_Matrix, list[list[int]]]:
    """Return the smallest renumbering of a cell's inner nodes, and all orders that give it."""
    inner = range(1, len(matrix) - 1)
    best: _Matrix | None = None
    orders: list[list[int]] = []
    for order in itertools.permutations(inner):
        places = (0, *order, len(matrix) - 1)
        renumbered = tuple(tuple(matrix[i][j] for j in places) for i in places)
        if any(renumbered[i][j] for i in range(len(matrix)) for j in range(i)):
            continue  # an edge would lead backwards
        if best is None or renumbered < best:
            best, orders = renumbered, []
        if renumbered == best:
            orders.append([node - 1 for node in order])
    assert best is not None, "the numbering that it has is one"
    return best, orders
