"""Networks of one DARTS architecture, fresh or cut out of a supernet."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from balenas_core.nn import BatchNormMode, drop_path, global_average, preferred_memory
from balenas_core.space import Task
from balenas_space_darts._architecture import DartsArchitecture, DartsCell
from balenas_space_darts._operations import make_operation
from balenas_space_darts._skeleton import (
    AuxiliaryHead,
    CellPlan,
    NetworkPlan,
    Stem,
    make_preprocessing,
)


class FixedCell(nn.Module):
    """Cell of chosen operations.

    Args:
        cell: Which nodes its operations connect.
        preprocessing: Layers before its two inputs.
        operations: Module of each of ``cell.pairs``.
    """

    def __init__(
        self,
        cell: DartsCell,
        preprocessing: tuple[nn.Module, nn.Module],
        operations: Sequence[nn.Module],
    ) -> None:
        super().__init__()
        self.cell = cell
        self.preprocess_older, self.preprocess_younger = preprocessing
        self.operations = nn.ModuleList(operations)

    def forward(self, older: Tensor, younger: Tensor, drop_path_prob: float) -> Tensor:
        """Return the concatenation of the cell's output nodes.

        Args:
            older: Output of the cell before the last.
            younger: Output of the last cell.
            drop_path_prob: Chance of each sample and operation to be dropped.
        """
        nodes = [self.preprocess_older(older), self.preprocess_younger(younger)]
        terms: list[Tensor] = []
        for operation, (_, source) in zip(self.operations, self.cell.pairs, strict=True):
            term = operation(nodes[source])
            if drop_path_prob > 0 and not isinstance(operation, nn.Identity):
                term = drop_path(term, drop_path_prob)
            terms.append(term)
            if len(terms) == 2:
                nodes.append(terms[0] + terms[1])
                terms = []
        return torch.cat([nodes[node] for node in self.cell.concat], dim=1)


class DartsNetwork(nn.Module):
    """Network of one architecture; its ``forward`` takes images and returns logits.

    ``drop_path_prob`` may be set during training: each operation but the identity is then
    dropped with that probability, for each sample.

    Args:
        stem: First layers.
        cells: Its cells, in order.
        classifier: Last layer.
        auxiliary: Auxiliary head and the index of the cell that it follows, if there is one.
    """

    def __init__(
        self,
        stem: Stem,
        cells: Sequence[FixedCell],
        classifier: nn.Linear,
        auxiliary: tuple[AuxiliaryHead, int] | None = None,
    ) -> None:
        super().__init__()
        self.drop_path_prob = 0.0
        self.stem = stem
        self.cells = nn.ModuleList(cells)
        self.classifier = classifier
        self.auxiliary: AuxiliaryHead | None = None
        self._auxiliary_cell = -1
        if auxiliary is not None:
            self.auxiliary, self._auxiliary_cell = auxiliary

    def forward(self, x: Tensor) -> Tensor:
        """Map `batch x channels x height x width`-dim images to `batch x classes`-dim logits."""
        logits: Tensor = self.classifier(global_average(self._features(x)[0]))
        return logits

    def forward_with_auxiliary(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the logits and those of the auxiliary head, None if there is none."""
        features, middle = self._features(x)
        auxiliary = None if self.auxiliary is None else self.auxiliary(middle)
        return self.classifier(global_average(features)), auxiliary

    def _features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        older, younger = self.stem(preferred_memory(x))
        middle = younger
        probability = self.drop_path_prob if self.training else 0.0
        for index, cell in enumerate(self.cells):
            older, younger = younger, cell(older, younger, probability)
            if index == self._auxiliary_cell:
                middle = younger
        return younger, middle


def _fresh_cell(architecture: DartsArchitecture, plan: CellPlan, norm: BatchNormMode) -> FixedCell:
    cell = architecture.reduce if plan.is_reduction else architecture.normal
    operations = [
        make_operation(
            name, plan.channels, stride=2 if plan.is_reduction and source < 2 else 1, norm=norm
        )
        for name, source in cell.pairs
    ]
    return FixedCell(cell, make_preprocessing(plan, norm), operations)


def fresh_network(
    architecture: DartsArchitecture,
    task: Task,
    *,
    stem: str,
    channels: int,
    cells: int,
    has_auxiliary: bool,
) -> DartsNetwork:
    """Return the network as DARTS trains it, with fresh weights.

    Batch normalisation is affine, and there is none after pooling.
    """
    outputs = {kind: len(cell.concat) for kind, cell in architecture.by_kind()}
    plan = NetworkPlan(stem, channels, cells, outputs)
    norm = BatchNormMode()
    auxiliary = None
    if has_auxiliary:
        index = plan.auxiliary_cell
        size = plan.image_size(task.input_shape[1], task.input_shape[2], index)
        head = AuxiliaryHead(
            plan.output_channels(index),
            size,
            task.num_classes,
            is_last_normalized=stem == "cifar",
        )
        auxiliary = head, index
    return DartsNetwork(
        Stem(stem, task.input_shape[0], channels),
        [_fresh_cell(architecture, cell, norm) for cell in plan],
        nn.Linear(plan.output_channels(-1), task.num_classes),
        auxiliary,
    )
