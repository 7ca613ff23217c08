"""The weight-sharing network of the DARTS space."""

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
    edge_weights,
    global_average,
    keeping_layout,
    partition_of,
    preferred_memory,
)
from balenas_space_darts._architecture import DartsArchitecture
from balenas_space_darts._choices import EDGES, KINDS, Choices, edge_name
from balenas_space_darts._membership import check_is_in_space
from balenas_space_darts._network import DartsNetwork, FixedCell
from balenas_space_darts._operations import make_search_operation
from balenas_space_darts._skeleton import CellPlan, Stem, make_preprocessing, search_plan


class SearchCell(nn.Module):
    """Cell that mixes all candidates on every edge; its output concatenates all inner nodes.

    Args:
        plan: Its place in the network.
        choices: Candidates of the edges.
        norm: Batch normalisation of its layers.
        partial_channels: Operations see one in this many channels.
    """

    def __init__(
        self, plan: CellPlan, choices: Choices, norm: BatchNormMode, partial_channels: int = 1
    ) -> None:
        super().__init__()
        self.kind = plan.kind
        self.is_reduction = plan.is_reduction
        self.preprocess_older, self.preprocess_younger = make_preprocessing(plan, norm)
        self.edges = nn.ModuleList(
            MixedEdge(
                choices.of(plan.kind, edge),
                {
                    name: make_search_operation(
                        name,
                        plan.channels // partial_channels,
                        stride=_stride(plan, edge.source),
                        norm=norm,
                    )
                    for name in choices.real(plan.kind, edge)
                },
                partition_of(partial_channels, stride=_stride(plan, edge.source)),
            )
            for edge in EDGES
        )

    def forward(self, older: Tensor, younger: Tensor, weights: list[EdgeWeights]) -> Tensor:
        """Return the concatenation of the inner nodes.

        Args:
            older: Output of the cell before the last.
            younger: Output of the last cell.
            weights: Architecture weights of each edge.
        """
        nodes = [Source(self.preprocess_older(older)), Source(self.preprocess_younger(younger))]
        total = NodeSum()
        for edge, mixed, row in zip(EDGES, self.edges, weights, strict=True):
            assert isinstance(mixed, MixedEdge)
            mixed.accumulate(nodes[edge.source], row, total)
            if edge.source == edge.target - 1:
                result = total.result()
                nodes.append(Source(self._zero(nodes[0].features) if result is None else result))
                total = NodeSum()
        return torch.cat([node.features for node in nodes[2:]], dim=1)

    def _zero(self, source: Tensor) -> Tensor:
        stride = 2 if self.is_reduction else 1
        return torch.zeros_like(source[:, :, ::stride, ::stride])

    def fixed(self, architecture: DartsArchitecture) -> FixedCell:
        """Return a copy of the chosen operations."""
        cell = architecture.reduce if self.is_reduction else architecture.normal
        operations = []
        for position, (name, source) in enumerate(cell.pairs):
            mixed = self.edges[EDGES.index((source, 2 + position // 2))]
            assert isinstance(mixed, MixedEdge)
            operation = mixed.copy_of(name)
            assert operation is not None, "the caller has checked the operations"
            operations.append(operation)
        preprocessing = copy.deepcopy((self.preprocess_older, self.preprocess_younger))
        return FixedCell(cell, preprocessing, operations)


def _stride(plan: CellPlan, source: int) -> int:
    return 2 if plan.is_reduction and source < 2 else 1


class DartsSupernet(Supernet):
    """All networks of the space in one.

    Args:
        task: Image shape and classes.
        choices: Candidates of the edges.
        stem: ``"cifar"`` or ``"imagenet"``.
        channels: Channels of the nodes of the first cells.
        cells: Number of cells.
        partial_channels: The cells' operations see one in this many channels.

    References:
        Liu et al. 2019, "DARTS", ICLR. As in its code, batch normalisation has no affine
        parameters and follows pooling too.
    """

    def __init__(
        self,
        task: Task,
        choices: Choices,
        *,
        stem: str,
        channels: int,
        cells: int,
        partial_channels: int = 1,
    ) -> None:
        super().__init__()
        plan = search_plan(stem, channels, cells)
        norm = BatchNormMode(affine=False)
        self._choices = choices
        self.stem = Stem(stem, task.input_shape[0], channels)
        self.cells = nn.ModuleList(
            SearchCell(cell, choices, norm, partial_channels) for cell in plan
        )
        self.classifier = nn.Linear(plan.output_channels(-1), task.num_classes)

    @property
    def cell_modules(self) -> Sequence[nn.Module]:
        """Its cells."""
        return tuple(self.cells)

    def forward(self, x: Tensor, weights: Weights) -> Tensor:
        """Return `batch x classes`-dim logits.

        Args:
            x: `batch x channels x height x width`-dim images.
            weights: One tensor per decision of the space; ``{"normal": w, "reduce": v}`` with
                `14 x 8`-dim tensors unless the edges' candidates differ.
        """
        weights = self._choices.operation_weights(weights)
        rows = {kind: self._rows(kind, weights) for kind in KINDS}
        older, younger = self.stem(preferred_memory(x))
        for cell in self.cells:
            assert isinstance(cell, SearchCell)
            older, younger = younger, self.run_cell(cell, older, younger, rows[cell.kind])
        logits: Tensor = self.classifier(global_average(keeping_layout(younger)))
        return logits

    def _rows(self, kind: str, weights: Weights) -> list[EdgeWeights]:
        if self._choices.is_uniform(kind):
            return edge_weights(weights[kind])
        return [edge_weights(weights[edge_name(kind, edge)])[0] for edge in EDGES]

    def inherit(self, architecture: DartsArchitecture) -> DartsNetwork:
        """Return a copy of what the architecture uses.

        Raises:
            ArchitectureError: The supernet does not hold one of its operations.
        """
        check_is_in_space(architecture, self._choices)
        cells = []
        for cell in self.cells:
            assert isinstance(cell, SearchCell)
            cells.append(cell.fixed(architecture))
        stem, classifier = copy.deepcopy((self.stem, self.classifier))
        return DartsNetwork(stem, cells, classifier).train(self.training)
