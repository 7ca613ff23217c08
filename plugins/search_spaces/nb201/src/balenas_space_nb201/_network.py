"""Networks of one NAS-Bench-201 architecture, fresh or cut out of a supernet."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from balenas_core.interfaces.space import Task
from balenas_core.nn import (
    BatchNormMode,
    Pool,
    ReluConvNorm,
    StagedNetwork,
    global_average,
    preferred_memory,
)
from balenas_space_nb201._architecture import EDGES, NB201Architecture

STAGES = 3


def make_operation(name: str, channels: int, norm: BatchNormMode) -> nn.Module | None:
    """Return a fresh operation; None for ``none``."""
    if name == "none":
        return None
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return Pool("avg")
    kernel = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}[name]
    return ReluConvNorm((channels, channels), kernel, norm=norm)


class ResidualReduction(nn.Module):
    """Residual block that halves the image: two 3x3 convolutions beside pooling and 1x1.

    Args:
        channels: Channels in and out.
    """

    def __init__(self, channels: tuple[int, int]) -> None:
        super().__init__()
        norm = BatchNormMode()
        self.conv_a = ReluConvNorm(channels, 3, stride=2, norm=norm)
        self.conv_b = ReluConvNorm((channels[1], channels[1]), 3, norm=norm)
        # ceil_mode changes nothing for even sizes, and makes odd ones fit the 3x3 path.
        self.pool = nn.AvgPool2d(2, stride=2, ceil_mode=True)
        self.project = nn.Conv2d(*channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map `batch x in x h x w` to `batch x out x ceil(h / 2) x ceil(w / 2)`-dim features."""
        out: Tensor = self.project(self.pool(x)) + self.conv_b(self.conv_a(x))
        return out


class FixedCell(nn.Module):
    """Cell with one operation an edge.

    Args:
        operations: Module of each edge; None for ``none``.
    """

    def __init__(self, operations: Sequence[nn.Module | None]) -> None:
        super().__init__()
        self.operations = nn.ModuleDict(
            {
                f"{edge.target}_{edge.source}": operation
                for edge, operation in zip(EDGES, operations, strict=True)
                if operation is not None
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `batch x channels x height x width`-dim features to the same shape."""
        nodes: list[Tensor | None] = [x, None, None, None]
        for edge in EDGES:
            name, source = f"{edge.target}_{edge.source}", nodes[edge.source]
            if name not in self.operations:
                continue
            # An operation on an empty sum is kept: with a learned shift it is not zero.
            term = self.operations[name](torch.zeros_like(x) if source is None else source)
            total = nodes[edge.target]
            nodes[edge.target] = term if total is None else total + term
        output = nodes[-1]
        return torch.zeros_like(x) if output is None else output


class Skeleton(nn.Module):
    """Everything around the cells: stem, reduction blocks and classifier, with fresh weights.

    The classifier has the paper's last batch normalisation and ReLU before it.

    Args:
        task: Image shape and classes.
        channels: Channels of the first stage.
    """

    def __init__(self, task: Task, channels: int) -> None:
        super().__init__()
        widths = stage_widths(channels)
        self.stem = nn.Sequential(
            nn.Conv2d(task.input_shape[0], channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.reductions = nn.ModuleList(
            ResidualReduction((before, after)) for before, after in itertools.pairwise(widths)
        )
        self.last_norm = nn.BatchNorm2d(widths[-1])
        self.last_relu = nn.ReLU()
        self.classifier = nn.Linear(widths[-1], task.num_classes)

    def forward(self, x: Tensor, cell: Callable[[int, Tensor], Tensor], cells: int) -> Tensor:
        """Return logits, with ``cell(index, x)`` in the place of each of the cells.

        Args:
            x: `batch x channels x height x width`-dim images.
            cell: Computes the cell of that index.
            cells: Number of cells in all stages.
        """
        per_stage = cells // STAGES
        x = self.stem(preferred_memory(x))
        for index in range(cells):
            if index and index % per_stage == 0:
                x = self.reductions[index // per_stage - 1](x)
            x = cell(index, x)
        logits: Tensor = self.classifier(global_average(self.last_features(x)))
        return logits

    def last_features(self, x: Tensor) -> Tensor:
        """Apply batch normalisation and ReLU."""
        features: Tensor = self.last_relu(self.last_norm(x))
        return features


def stage_widths(channels: int) -> list[int]:
    """Return the channels of each stage."""
    return [channels * 2**stage for stage in range(STAGES)]


class NB201Network(StagedNetwork):
    """Network of one architecture; its ``forward`` takes images and returns logits.

    Args:
        skeleton: Stem, reductions and classifier.
        cells: Its cells, in order.
    """

    def __init__(self, skeleton: Skeleton, cells: Sequence[FixedCell]) -> None:
        super().__init__()
        self.skeleton = skeleton
        self.cells = nn.ModuleList(cells)

    @property
    def stages(self) -> tuple[tuple[str, ...], ...]:
        """Stem, and three stages; all but the first begin with a reduction."""
        per_stage = len(self.cells) // STAGES
        stages = []
        for stage in range(STAGES):
            cells = range(stage * per_stage, (stage + 1) * per_stage)
            reduction = [f"skeleton.reductions.{stage - 1}"] if stage else []
            stages.append((*reduction, *(f"cells.{index}" for index in cells)))
        return (("skeleton.stem",), *stages)

    @property
    def classifier_name(self) -> str:
        """The skeleton's last layer."""
        return "skeleton.classifier"

    def forward_blocks(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the features after stem, reductions and cells."""
        return self.run_in_order(x)

    def last_features(self, x: Tensor) -> Tensor:
        """Apply the last batch normalisation and ReLU."""
        return self.skeleton.last_features(x)


def fresh_network(
    architecture: NB201Architecture, task: Task, *, channels: int, cells_per_stage: int
) -> NB201Network:
    """Return the network as the benchmark trained it, with fresh weights.

    Batch normalisation is affine and keeps running statistics.
    """
    norm = BatchNormMode()
    skeleton = Skeleton(task, channels)
    cells = [
        FixedCell([make_operation(name, width, norm) for name in architecture.operations])
        for width in stage_widths(channels)
        for _ in range(cells_per_stage)
    ]
    return NB201Network(skeleton, cells)
