"""Networks of one DARTS architecture, fresh or cut out of a supernet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from balenas_core.interfaces.space import Task
from balenas_core.nn import (
    BatchNormMode,
    RegularizedNetwork,
    StagedNetwork,
    drop_path,
    preferred_memory,
)
from balenas_space_darts._architecture import DartsArchitecture, DartsCell
from balenas_space_darts._operations import make_operation
from balenas_space_darts._skeleton import (
    AuxiliaryHead,
    CellPlan,
    NetworkPlan,
    Stem,
    make_preprocessing,
    reductions,
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

    def forward(
        self, older: Tensor, younger: Tensor, drop_path_prob: float | Tensor | None
    ) -> Tensor:
        """Return the concatenation of the cell's output nodes.

        Args:
            older: Output of the cell before the last.
            younger: Output of the last cell.
            drop_path_prob: Chance of each sample and operation to be dropped; None for none.
        """
        nodes = [self.preprocess_older(older), self.preprocess_younger(younger)]
        terms: list[Tensor] = []
        for operation, (_, source) in zip(self.operations, self.cell.pairs, strict=True):
            term = operation(nodes[source])
            if drop_path_prob is not None and not isinstance(operation, nn.Identity):
                term = drop_path(term, drop_path_prob)
            terms.append(term)
            if len(terms) == 2:
                nodes.append(terms[0] + terms[1])
                terms = []
        return torch.cat([nodes[node] for node in self.cell.concat], dim=1)


class DartsNetwork(StagedNetwork, RegularizedNetwork):
    """Network of one architecture; its ``forward`` takes images and returns logits.

    Drop path leaves out any operation but the identity.

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
        self.drop_path_prob: float | Tensor = 0.0
        self.stem = stem
        self.cells = nn.ModuleList(cells)
        self.classifier = classifier
        self.auxiliary: AuxiliaryHead | None = None
        self._auxiliary_block = ""
        if auxiliary is not None:
            self.auxiliary, index = auxiliary
            self._auxiliary_block = f"cells.{index}"

    @property
    def stages(self) -> tuple[tuple[str, ...], ...]:
        """Stem, and the cells up to each reduction and after the last.

        The second half of an ImageNet stem halves the image, and begins the next stage.
        """
        names = [f"cells.{index}" for index in range(len(self.cells))]
        first, second = reductions(len(names))
        halving = () if self.stem.second is None else ("stem.second",)
        return (
            ("stem.first",),
            (*halving, *names[:first]),
            tuple(names[first:second]),
            tuple(names[second:]),
        )

    @property
    def classifier_name(self) -> str:
        """The last layer."""
        return "classifier"

    def forward_blocks(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the features after the stem, or each of its halves, and after each cell."""
        older, younger = self.stem(preferred_memory(x))
        yield older
        if younger is not older:
            yield younger
        probability = self.drop_path_prob if self.drops_paths else None
        for cell in self.cells:
            older, younger = younger, self.run_block(cell, older, younger, probability)
            yield younger

    def last_features(self, x: Tensor) -> Tensor:
        """Return the features as they are."""
        return x

    def forward_with_auxiliary(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the logits and those of the auxiliary head, None if there is none."""
        features, auxiliary = x, None
        for name, features in zip(self.block_names, self.forward_blocks(x), strict=True):
            if self.auxiliary is not None and name == self._auxiliary_block:
                auxiliary = self.auxiliary(features)
        return self.classify(features), auxiliary


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
