"""Networks as NAS-Bench-101 builds them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from balenas_core.interfaces.space import Task
from balenas_core.nn import StagedNetwork, preferred_memory
from balenas_space_nb1shot1._layers import ConvNormRelu, halve, make_operation, stage
from balenas_space_nb1shot1._nb101 import NB101Cell, vertex_channels


class NB101Module(nn.Module):
    """One cell of a network.

    Args:
        cell: A pruned cell.
        channels: Channels in and out.
    """

    def __init__(self, cell: NB101Cell, channels: tuple[int, int]) -> None:
        super().__init__()
        self.cell = cell
        self.channels = vertex_channels(cell, *channels)
        last = cell.vertices - 1
        self.operations = nn.ModuleList(
            make_operation(name, self.channels[v]) for v, name in enumerate(cell.operations, 1)
        )
        self.projections = nn.ModuleDict(
            {
                str(v): ConvNormRelu((channels[0], self.channels[v]), 1)
                for v in range(1, last + 1)
                if cell.matrix[0][v]
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `batch x in x height x width`-dim features to the output's."""
        vertices = [x]
        for v, operation in enumerate(self.operations, start=1):
            terms = [
                vertices[source][:, : self.channels[v]]
                for source in range(1, v)
                if self.cell.matrix[source][v]
            ]
            vertices.append(operation(self._sum(v, terms, x)))
        last = self.cell.vertices - 1
        ends = [vertices[v] for v in range(1, last) if self.cell.matrix[v][last]]
        return self._sum(last, [torch.cat(ends, dim=1)] if ends else [], x)

    def _sum(self, vertex: int, terms: list[Tensor], x: Tensor) -> Tensor:
        if str(vertex) in self.projections:
            terms = [*terms, self.projections[str(vertex)](x)]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total


class NB101Network(StagedNetwork):
    """Stem, cells with max pooling between the three stages, and classifier.

    Args:
        cell: The cell; it is pruned.
        task: Image shape and classes.
        channels: Channels of the first stage, doubled in each of the next.
        cells: Number of cells.

    References:
        Ying et al. 2019, "NAS-Bench-101", ICML (released code, ``build_model``).
    """

    def __init__(self, cell: NB101Cell, task: Task, *, channels: int, cells: int) -> None:
        super().__init__()
        pruned = cell.pruned()
        self.stem = ConvNormRelu((task.input_shape[0], channels), 3)
        widths = [channels * 2 ** stage(index, cells) for index in range(cells)]
        before = [channels, *widths[:-1]]
        self.cells = nn.ModuleList(
            NB101Module(pruned, pair) for pair in zip(before, widths, strict=True)
        )
        self.classifier = nn.Linear(widths[-1], task.num_classes)

    @property
    def stages(self) -> tuple[tuple[str, ...], ...]:
        """Stem, and the cells between poolings."""
        count = len(self.cells)
        by_stage = itertools.groupby(range(count), key=lambda index: stage(index, count))
        return (
            ("stem",),
            *(tuple(f"cells.{index}" for index in indices) for _, indices in by_stage),
        )

    @property
    def classifier_name(self) -> str:
        """The last layer."""
        return "classifier"

    def forward_blocks(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the features after the stem and each cell; a stage begins with a pooling."""
        x = self.stem(preferred_memory(x))
        yield x
        for index, cell in enumerate(self.cells):
            if index and stage(index, len(self.cells)) > stage(index - 1, len(self.cells)):
                x = halve(x)
            x = self.run_block(cell, x)
            yield x

    def last_features(self, x: Tensor) -> Tensor:
        """Return the features as they are."""
        return x
