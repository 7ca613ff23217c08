"""The three spaces: how many parents each node has. Imports no torch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

OPERATIONS: Final = ("maxpool3x3", "conv3x3-bn-relu", "conv1x1-bn-relu")
"""The candidates of every choice block, in the order of its logits."""


NB101_OPERATIONS: Final = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
"""The same in the order in which NAS-Bench-101 numbers them."""


@dataclass(frozen=True, slots=True)
class Topology:
    """Number of parents of each node of a cell.

    Node 0 is the cell's input, nodes 1 to ``blocks`` are choice blocks, the last is the output.

    Args:
        name: Name of the space.
        parents: Number of parents of node 1, 2, ... and of the output.
    """

    name: str
    parents: tuple[int, ...]

    @property
    def blocks(self) -> int:
        """Number of choice blocks."""
        return len(self.parents) - 1

    @property
    def nodes(self) -> range:
        """All nodes that have parents: the choice blocks and the output."""
        return range(1, len(self.parents) + 1)

    def count(self, node: int) -> int:
        """Return how many parents a node has; its candidates are all earlier nodes."""
        return self.parents[node - 1]

    def has_choice(self, node: int) -> bool:
        """Whether a node has fewer parents than candidates."""
        return self.count(node) < node

    def size(self) -> int:
        """Return the number of configurations (parents x operations)."""
        combinations = [math.comb(node, self.count(node)) for node in self.nodes]
        return int(math.prod(combinations) * 3**self.blocks)

    def parent_sets(self) -> Iterator[tuple[tuple[int, ...], ...]]:
        """Yield all parents of all nodes, the choice of the output changing fastest."""
        return itertools.product(
            *(itertools.combinations(range(node), self.count(node)) for node in self.nodes)
        )


TOPOLOGIES: Final = {
    "s1": Topology("s1", (1, 2, 2, 2, 2)),
    "s2": Topology("s2", (1, 1, 2, 2, 3)),
    "s3": Topology("s3", (1, 1, 1, 2, 2, 2)),
}
"""Name -> space.

References:
    Zela et al. 2020, "NAS-Bench-1Shot1", ICLR.
"""
