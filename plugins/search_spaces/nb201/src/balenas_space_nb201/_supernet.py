"""The weight-sharing network of NAS-Bench-201."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from balenas_core.interfaces.space import Supernet, Task, Weights
from balenas_core.nn import (
    BatchNormMode,
    EdgeWeights,
    MixedEdge,
    NodeSum,
    Source,
    edge_weighted,
    edge_weights,
    input_weights,
    partition_of,
)
from balenas_space_nb201._architecture import EDGES, OPERATIONS, NB201Architecture
from balenas_space_nb201._network import (
    FixedCell,
    NB201Network,
    Skeleton,
    make_operation,
    stage_widths,
)

DECISION = "cell"


class SearchCell(nn.Module):
    """Cell that mixes all operations on every edge; a node sums its edges.

    Args:
        channels: Channels of every node.
        norm: Batch normalisation of its operations.
        partial_channels: Operations see one in this many channels.
    """

    def __init__(self, channels: int, norm: BatchNormMode, partial_channels: int = 1) -> None:
        super().__init__()
        self.edges = nn.ModuleList(
            MixedEdge(
                OPERATIONS,
                {
                    name: module
                    for name in OPERATIONS
                    if (module := make_operation(name, channels // partial_channels, norm))
                    is not None
                },
                partition_of(partial_channels),
            )
            for _ in EDGES
        )

    def forward(self, x: Tensor, weights: list[EdgeWeights]) -> Tensor:
        """Map `batch x channels x height x width`-dim features to the same shape."""
        nodes = [Source(x)]
        total = NodeSum()
        for edge, mixed, row in zip(EDGES, self.edges, weights, strict=True):
            assert isinstance(mixed, MixedEdge)
            mixed.accumulate(nodes[edge.source], row, total)
            if edge.source == edge.target - 1:
                result = total.result()
                nodes.append(Source(torch.zeros_like(x) if result is None else result))
                total = NodeSum()
        return nodes[-1].features

    def fixed(self, architecture: NB201Architecture) -> FixedCell:
        """Return a copy of the chosen operations."""
        operations = []
        for mixed, name in zip(self.edges, architecture.operations, strict=True):
            assert isinstance(mixed, MixedEdge)
            operations.append(mixed.copy_of(name))
        return FixedCell(operations)


class NB201Supernet(Supernet):
    """All 15,625 networks in one.

    Args:
        task: Image shape and classes.
        channels: Channels of the first stage.
        cells_per_stage: Cells in each of the three stages.
        norm: Batch normalisation inside the cells.
        partial_channels: The cells' operations see one in this many channels.
        edge_normalization: Whether edges have weights, in tables of their own.

    References:
        Dong and Yang 2020, "NAS-Bench-201", ICLR (released code). Deviation: convolutions of
        the cells have no bias, which the batch normalisation after them would cancel.
    """

    def __init__(
        self,
        task: Task,
        *,
        channels: int,
        cells_per_stage: int,
        norm: BatchNormMode,
        partial_channels: int = 1,
        edge_normalization: bool = False,
    ) -> None:
        super().__init__()
        self._has_edge_weights = edge_normalization
        self.skeleton = Skeleton(task, channels)
        self.cells = nn.ModuleList(
            SearchCell(width, norm, partial_channels)
            for width in stage_widths(channels)
            for _ in range(cells_per_stage)
        )

    @property
    def cell_modules(self) -> Sequence[nn.Module]:
        """Its cells."""
        return tuple(self.cells)

    def forward(self, x: Tensor, weights: Weights) -> Tensor:
        """Return `batch x classes`-dim logits.

        Args:
            x: `batch x channels x height x width`-dim images.
            weights: ``{"cell": w}`` with a `6 x 5`-dim tensor, and those of edges if they have any.
        """
        operations = weights[DECISION]
        if self._has_edge_weights:
            operations = edge_weighted(operations, input_weights(DECISION, EDGES, weights))
        rows = edge_weights(operations)

        def cell(index: int, features: Tensor) -> Tensor:
            out: Tensor = self.run_cell(self.cells[index], features, rows)
            return out

        logits: Tensor = self.skeleton(x, cell, len(self.cells))
        return logits

    def inherit(self, architecture: NB201Architecture) -> NB201Network:
        """Return a copy of what the architecture uses."""
        cells = []
        for cell in self.cells:
            assert isinstance(cell, SearchCell)
            cells.append(cell.fixed(architecture))
        network = NB201Network(copy.deepcopy(self.skeleton), cells)
        return network.train(self.training)
