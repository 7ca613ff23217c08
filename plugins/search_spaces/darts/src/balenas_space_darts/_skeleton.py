"""What is around the cells of a DARTS network: plan, stem and auxiliary head."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from balenas_core.nn import BatchNormMode, FactorizedReduce, ReluConvNorm
from balenas_space_darts._choices import NODES

STEM_MULTIPLIER = 3


def reductions(cells: int) -> tuple[int, int]:
    """Return the indices of the two reduction cells, of at least three cells."""
    return cells // 3, 2 * cells // 3


@dataclass(frozen=True, slots=True)
class CellPlan:
    """Place of a cell in a network.

    Args:
        before: Channels of the outputs of the two cells before, the older first.
        channels: Channels of its nodes.
        is_reduction: Whether it halves the image.
        follows_reduction: Whether the younger of its inputs is half as large as the older.
    """

    before: tuple[int, int]
    channels: int
    is_reduction: bool
    follows_reduction: bool

    @property
    def kind(self) -> str:
        """``"reduce"`` or ``"normal"``."""
        return "reduce" if self.is_reduction else "normal"


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """Sizes of a whole network.

    Args:
        stem: ``"cifar"`` or ``"imagenet"``.
        channels: Channels of the nodes of the first cells.
        cells: Number of cells.
        outputs: Cell kind -> number of nodes that form its output.
    """

    stem: str
    channels: int
    cells: int
    outputs: Mapping[str, int]

    @property
    def auxiliary_cell(self) -> int:
        """Index of the cell that the auxiliary head follows."""
        return 2 * self.cells // 3

    def __iter__(self) -> Iterator[CellPlan]:
        """Yield the plan of each cell."""
        stem = self.channels * (STEM_MULTIPLIER if self.stem == "cifar" else 1)
        before, channels = (stem, stem), self.channels
        follows_reduction = self.stem == "imagenet"
        for index in range(self.cells):
            is_reduction = index in reductions(self.cells)
            channels *= 2 if is_reduction else 1
            plan = CellPlan(before, channels, is_reduction, follows_reduction)
            yield plan
            before = (before[1], channels * self.outputs[plan.kind])
            follows_reduction = is_reduction

    def output_channels(self, index: int) -> int:
        """Return the channels of the output of a cell."""
        plan = list(self)[index]
        return plan.channels * self.outputs[plan.kind]

    def image_size(self, height: int, width: int, index: int) -> tuple[int, int]:
        """Return height and width of the output of a cell."""
        halvings = (3 if self.stem == "imagenet" else 0) + sum(
            reduction <= index for reduction in reductions(self.cells)
        )
        for _ in range(halvings):
            height, width = -(-height // 2), -(-width // 2)
        return height, width


def search_plan(stem: str, channels: int, cells: int) -> NetworkPlan:
    """Return the plan of a supernet, whose cells concatenate all inner nodes."""
    return NetworkPlan(stem, channels, cells, {"normal": NODES, "reduce": NODES})


class Stem(nn.Module):
    """First layers; returns the inputs of the first cell, the older first.

    Args:
        kind: ``"cifar"`` or ``"imagenet"``.
        image_channels: Channels of the images.
        channels: Channels of the nodes of the first cells.
    """

    def __init__(self, kind: str, image_channels: int, channels: int) -> None:
        super().__init__()
        self.second: nn.Module | None = None
        if kind == "cifar":
            wide = STEM_MULTIPLIER * channels
            self.first = nn.Sequential(
                nn.Conv2d(image_channels, wide, 3, padding=1, bias=False), nn.BatchNorm2d(wide)
            )
            return
        half = max(1, channels // 2)
        self.first = nn.Sequential(
            nn.Conv2d(image_channels, half, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            nn.Conv2d(half, channels, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.second = ReluConvNorm((channels, channels), 3, stride=2, norm=BatchNormMode())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map images to the features of the first cell's two inputs."""
        older: Tensor = self.first(x)
        return older, older if self.second is None else self.second(older)


def make_preprocessing(plan: CellPlan, norm: BatchNormMode) -> tuple[nn.Module, nn.Module]:
    """Return fresh layers that bring a cell's two inputs to its channels and size."""
    older: nn.Module
    if plan.follows_reduction:
        older = FactorizedReduce((plan.before[0], plan.channels), norm=norm)
    else:
        older = ReluConvNorm((plan.before[0], plan.channels), 1, norm=norm)
    return older, ReluConvNorm((plan.before[1], plan.channels), 1, norm=norm)


class AuxiliaryHead(nn.Module):
    """Second classifier at 2/3 of the depth, which helps training.

    Args:
        channels: Channels of its input.
        size: Height and width of its input.
        num_classes: Number of classes.
        is_last_normalized: Whether batch normalisation follows its last convolution (the DARTS
            code has it on CIFAR and not on ImageNet).

    References:
        Liu et al. 2019, "DARTS", ICLR (released code). Deviation: the pooling, made for 8x8 and
        7x7 features there, yields 2x2 features from any size.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        num_classes: int,
        *,
        is_last_normalized: bool,
    ) -> None:
        super().__init__()
        pool: nn.Module = nn.AdaptiveAvgPool2d(2)
        if min(size) > 5:
            pool = nn.AvgPool2d(5, (size[0] - 5, size[1] - 5), count_include_pad=False)
        self.features = nn.Sequential(
            nn.ReLU(),
            pool,
            nn.Conv2d(channels, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 768, 2, bias=False),
            nn.BatchNorm2d(768) if is_last_normalized else nn.Identity(),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.classifier = nn.Linear(768, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map `batch x channels x height x width`-dim features to logits."""
        logits: Tensor = self.classifier(self.features(x))
        return logits
