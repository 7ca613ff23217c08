"""The weight-sharing network of NAS-Bench-1Shot1."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from balenas_core.interfaces.space import Supernet, Task, Weights
from balenas_core.nn import (
    BatchNormMode,
    EdgeWeights,
    MixedEdge,
    NodeSum,
    ReluConvNorm,
    Source,
    edge_weights,
    global_average,
    preferred_memory,
)
from balenas_space_nb1shot1._architecture import NB1Shot1Architecture
from balenas_space_nb1shot1._layers import NORM, ConvNormRelu, halve, make_operation, stage
from balenas_space_nb1shot1._terms import Part, add_parts
from balenas_space_nb1shot1._topology import OPERATIONS, Topology

OPERATION_DECISION = "operations"
OUTPUT_DECISION = "output"


def input_decision(node: int) -> str:
    """Return the name of the decision on a node's parents."""
    return f"input_{node}"


class CellWeights:
    """Architecture weights by what they weigh.

    Args:
        topology: The space.
        weights: One tensor for each decision.
    """

    def __init__(self, topology: Topology, weights: Weights) -> None:
        self.operations = edge_weights(weights[OPERATION_DECISION])
        self.output = edge_weights(weights[OUTPUT_DECISION])[0]
        self.inputs = {
            node: edge_weights(weights[input_decision(node)])[0]
            for node in range(1, topology.blocks + 1)
            if topology.has_choice(node)
        }


class SearchCell(nn.Module):
    """Cell whose choice blocks mix all operations on a weighted sum of all earlier nodes.

    The cell's input reaches each block, and the output, through a 1x1 projection of its own.
    The output is the concatenation of the weighted blocks plus the weighted projection.

    Args:
        topology: The space.
        channels_in: Channels of the input.
        channels: Channels of each block.
    """

    def __init__(self, topology: Topology, channels_in: int, channels: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList(
            ConvNormRelu((channels_in, channels), 1) for _ in range(topology.blocks)
        )
        self.blocks = nn.ModuleList(
            MixedEdge(OPERATIONS, {name: make_operation(name, channels) for name in OPERATIONS})
            for _ in range(topology.blocks)
        )
        self.output_projection = ConvNormRelu((channels_in, channels * topology.blocks), 1)

    def forward(self, x: Tensor, weights: CellWeights) -> Tensor:
        """Return `batch x blocks * channels x height x width`-dim features.

        Args:
            x: `batch x channels_in x height x width`-dim features.
            weights: Architecture weights.
        """
        source = Source(x)
        nodes: list[Tensor] = []
        parts = list(zip(self.projections, self.blocks, weights.operations, strict=True))
        for node, (projection, block, row) in enumerate(parts, start=1):
            assert isinstance(projection, ConvNormRelu)
            assert isinstance(block, MixedEdge)
            entering = _block_input(source, projection, nodes, weights.inputs.get(node))
            total = NodeSum()
            block.accumulate(Source(entering), row, total)
            result = total.result()
            nodes.append(torch.zeros_like(entering) if result is None else result)
        return self._output(source, nodes, weights.output)

    def _output(self, source: Source, nodes: list[Tensor], weights: EdgeWeights) -> Tensor:
        total = NodeSum()
        if weights.values[0] != 0.0:
            self.output_projection.accumulate(source, weights.row[0], weights.values[0], total)
        terms = zip(nodes, weights.row[1:], weights.values[1:], strict=True)
        parts = [
            Part(place, node, weight, value)
            for place, (node, weight, value) in enumerate(terms)
            if value != 0.0
        ]
        if parts:
            add_parts(total, parts, len(nodes))
        result = total.result()
        return torch.cat([torch.zeros_like(n) for n in nodes], dim=1) if result is None else result


def _block_input(
    source: Source, projection: ConvNormRelu, nodes: list[Tensor], weights: EdgeWeights | None
) -> Tensor:
    if weights is None:
        entering: Tensor = projection(source.features)
        for node in nodes:
            entering = entering + node
        return entering
    total = NodeSum()
    for node, weight, value in zip(nodes, weights.row[1:], weights.values[1:], strict=True):
        if value != 0.0:
            total.add_scaled(node, weight, value)
    if weights.values[0] != 0.0:
        projection.accumulate(source, weights.row[0], weights.values[0], total)
    result = total.result()
    if result is None:
        return torch.zeros_like(projection(source.features))
    return result


class FixedCell(nn.Module):
    """The part of a search cell that one architecture uses.

    Args:
        cell: The search cell; what is used is copied.
        architecture: The architecture.
    """

    def __init__(self, cell: SearchCell, architecture: NB1Shot1Architecture) -> None:
        super().__init__()
        self.parents = architecture.parents
        output = len(self.parents)
        self.projections = nn.ModuleDict()
        self.operations = nn.ModuleList()
        for node, name in enumerate(architecture.operations, start=1):
            if 0 in self.parents[node - 1]:
                self.projections[str(node)] = copy.deepcopy(cell.projections[node - 1])
            block = cell.blocks[node - 1]
            assert isinstance(block, MixedEdge)
            operation = block.copy_of(name)
            assert operation is not None, "every operation of the space is in every block"
            self.operations.append(operation)
        if 0 in self.parents[-1]:
            self.projections[str(output)] = copy.deepcopy(cell.output_projection)

    def forward(self, x: Tensor) -> Tensor:
        """Map features as the search cell does; blocks that are no output count as zero."""
        nodes: list[Tensor] = [x]
        for node, operation in enumerate(self.operations, start=1):
            terms = [
                self.projections[str(node)](x) if parent == 0 else nodes[parent]
                for parent in self.parents[node - 1]
            ]
            nodes.append(operation(_sum(terms)))
        ends = [
            nodes[node] if node in self.parents[-1] else torch.zeros_like(nodes[node])
            for node in range(1, len(nodes))
        ]
        joined = torch.cat(ends, dim=1)
        output = str(len(self.parents))
        return joined + self.projections[output](x) if output in self.projections else joined


def _sum(terms: list[Tensor]) -> Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


class Skeleton(nn.Module):
    """Stem, last 1x1 convolution and classifier, with fresh weights.

    Args:
        task: Image shape and classes.
        channels: Channels after the stem, and of the last cell's blocks.
        blocks: Choice blocks in a cell.
    """

    def __init__(self, task: Task, channels: tuple[int, int], blocks: int) -> None:
        super().__init__()
        self.stem = ConvNormRelu((task.input_shape[0], channels[0]), 3)
        norm = BatchNormMode(affine=False, momentum=NORM.momentum)
        self.last = ReluConvNorm((channels[1] * blocks, channels[1]), 1, norm=norm)
        self.classifier = nn.Linear(channels[1], task.num_classes)

    def forward(self, x: Tensor, cell: Callable[[int, Tensor], Tensor], cells: int) -> Tensor:
        """Return logits, with ``cell(index, x)`` in the place of each of the cells."""
        x = self.stem(preferred_memory(x))
        for index in range(cells):
            if index and stage(index, cells) > stage(index - 1, cells):
                x = halve(x)
            x = cell(index, x)
        logits: Tensor = self.classifier(global_average(self.last(x)))
        return logits


class InheritedNetwork(nn.Module):
    """Network of one architecture in the form that it has inside a supernet.

    Args:
        skeleton: Everything around the cells.
        cells: Its cells, in order.
    """

    def __init__(self, skeleton: Skeleton, cells: list[FixedCell]) -> None:
        super().__init__()
        self.skeleton = skeleton
        self.cells = nn.ModuleList(cells)

    def forward(self, x: Tensor) -> Tensor:
        """Map `batch x channels x height x width`-dim images to `batch x classes`-dim logits."""

        def cell(index: int, features: Tensor) -> Tensor:
            out: Tensor = self.cells[index](features)
            return out

        logits: Tensor = self.skeleton(x, cell, len(self.cells))
        return logits


class NB1Shot1Supernet(Supernet):
    """All configurations of a space in one network.

    Args:
        task: Image shape and classes.
        topology: The space.
        channels: Channels of the blocks of the first cells.
        cells: Number of cells.

    References:
        Zela et al. 2020, "NAS-Bench-1Shot1", ICLR. Deviations: the momentum of batch
        normalisation is 0.003, which the released code has as 0.997; images of odd size are
        halved rounding up, as in NAS-Bench-101.
    """

    def __init__(self, task: Task, topology: Topology, *, channels: int, cells: int) -> None:
        super().__init__()
        self._topology = topology
        widths = [channels * 2 ** stage(index, cells) for index in range(cells)]
        before = [channels, *(width * topology.blocks for width in widths[:-1])]
        self.skeleton = Skeleton(task, (channels, widths[-1]), topology.blocks)
        self.cells = nn.ModuleList(
            SearchCell(topology, channels_in, width)
            for channels_in, width in zip(before, widths, strict=True)
        )

    @property
    def cell_modules(self) -> Sequence[nn.Module]:
        """Its cells."""
        return tuple(self.cells)

    def forward(self, x: Tensor, weights: Weights) -> Tensor:
        """Return `batch x classes`-dim logits.

        Args:
            x: `batch x channels x height x width`-dim images.
            weights: ``operations`` (`blocks x 3`), ``output`` (`1 x blocks + 1`) and, for each
                node that chooses its parents, ``input_NODE`` (`1 x node`).
        """
        by_role = CellWeights(self._topology, weights)

        def cell(index: int, features: Tensor) -> Tensor:
            out: Tensor = self.run_cell(self.cells[index], features, by_role)
            return out

        logits: Tensor = self.skeleton(x, cell, len(self.cells))
        return logits

    def inherit(self, architecture: NB1Shot1Architecture) -> InheritedNetwork:
        """Return a copy of what the architecture uses."""
        cells = []
        for cell in self.cells:
            assert isinstance(cell, SearchCell)
            cells.append(FixedCell(cell, architecture))
        return InheritedNetwork(copy.deepcopy(self.skeleton), cells).train(self.training)
