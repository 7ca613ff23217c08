"""Many networks of NAS-Bench-201 as one program."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from balenas_core.interfaces.network_batch import NetworkBatch, Owners
from balenas_core.interfaces.stacked import Stacked, joined, summed
from balenas_core.nn import MixedEdge
from balenas_space_nb201._architecture import EDGES, OPERATIONS, NB201Architecture
from balenas_space_nb201._supernet import NB201Supernet, SearchCell


class NB201Batch(NetworkBatch):
    """Networks that inherit the weights of one supernet; each operation is called once an edge.

    Args:
        supernet: Gives the weights; operations must see all channels.
        architectures: One for each network.
    """

    def __init__(self, supernet: NB201Supernet, architectures: Sequence[NB201Architecture]) -> None:
        super().__init__(len(architectures))
        self.supernet = supernet
        self._choices = torch.tensor(
            [[OPERATIONS.index(name) for name in a.operations] for a in architectures]
        )

    def forward(self, images: Stacked) -> Stacked:
        """Return the logits of every network."""
        features = images

        def cell(index: int, x: Tensor) -> Tensor:
            nonlocal features
            found = self.supernet.cells[index]
            assert isinstance(found, SearchCell)
            features = self._cell(found, Stacked(x, features.rows, features.batch))
            self.owners = Owners(self.every, features.rows)
            return features.features

        logits = self.supernet.skeleton(images.features, cell, len(self.supernet.cells))
        return Stacked(logits, features.rows, features.batch)

    def _cell(self, cell: SearchCell, x: Stacked) -> Stacked:
        nodes, terms = [x], []
        for number, (edge, mixed) in enumerate(zip(EDGES, cell.edges, strict=True)):
            assert isinstance(mixed, MixedEdge)
            terms.append(self._edge(mixed, self._choices[:, number], nodes[edge.source]))
            if edge.source == edge.target - 1:
                nodes.append(summed(terms))
                terms = []
        return nodes[-1]

    def _edge(self, mixed: MixedEdge, choices: Tensor, source: Stacked) -> Stacked:
        """Return the features after an edge; zero where the choice is no operation."""
        parts = []
        for name, operation in mixed.operations.items():
            networks = (choices == OPERATIONS.index(name)).nonzero()[:, 0]
            if len(networks):
                parts.append((networks, self.call(operation, networks, source)))
        return joined(parts, self.count, source)
