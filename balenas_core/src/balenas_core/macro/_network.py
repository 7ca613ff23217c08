"""Networks of a macro space: of one architecture, or of all in one."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from balenas_core.interfaces.space import Supernet, Weights
from balenas_core.macro._architecture import SKIP
from balenas_core.nn import (
    ClassifierHead,
    MixedEdge,
    StagedNetwork,
    edge_weights,
    preferred_memory,
)


class MacroNetwork(StagedNetwork):
    """Network of one architecture: stem, blocks, head.

    Args:
        stem: Maps images to the features of the first block.
        blocks: Block by layer, without those left out. The name of a layer begins with that of
            its stage and an underscore.
        head: Maps the last features to logits.
    """

    def __init__(
        self, stem: nn.Module, blocks: Mapping[str, nn.Module], head: ClassifierHead
    ) -> None:
        super().__init__()
        self.stem = stem
        self.blocks = nn.ModuleDict(blocks)
        self.head = head
        self.dropout = head.dropout

    @property
    def stages(self) -> tuple[tuple[str, ...], ...]:
        """Stem, and the stages that have a block."""
        by_stage = itertools.groupby(self.blocks, key=lambda layer: layer.partition("_")[0])
        return (
            ("stem",),
            *(tuple(f"blocks.{layer}" for layer in layers) for _, layers in by_stage),
        )

    @property
    def classifier_name(self) -> str:
        """The head's last layer."""
        return "head.classifier"

    def forward_blocks(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the features after the stem and each block."""
        return self.run_in_order(x)

    def last_features(self, x: Tensor) -> Tensor:
        """Apply the layers of the head that come before the average."""
        features: Tensor = self.head.layers(x)
        return features


class MacroSupernet(Supernet):
    """All networks of a macro space in one: a layer is the weighted sum of its blocks.

    Batch normalisations use the statistics of the batch in evaluation too: running averages
    over mixtures of blocks fit no network that is inherited.

    Args:
        stem: As in ``MacroNetwork``.
        layers: Candidates of every layer.
        slots: Decision of every layer, and its row there.
        head: As in ``MacroNetwork``.
    """

    def __init__(
        self,
        stem: nn.Module,
        layers: Mapping[str, MixedEdge],
        slots: Sequence[tuple[str, int]],
        head: ClassifierHead,
    ) -> None:
        super().__init__()
        self.stem = stem
        self.layers = nn.ModuleDict(layers)
        self.slots = tuple(slots)
        self.head = head
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.track_running_stats = False
                module.running_mean = module.running_var = module.num_batches_tracked = None

    @property
    def cell_modules(self) -> Sequence[nn.Module]:
        """Its layers."""
        return tuple(self.layers.values())

    def forward(self, x: Tensor, weights: Weights) -> Tensor:
        """Return logits; blocks of weight zero are not computed.

        Args:
            x: `batch x channels x height x width`-dim images.
            weights: One tensor for each decision. A layer whose weights are all zero hands on
                zeros.
        """
        rows = {name: edge_weights(weights[name]) for name in dict(self.slots)}
        x = self.stem(preferred_memory(x))
        for layer, (decision, row) in zip(self.layers.values(), self.slots, strict=True):
            mixed = self.run_cell(layer, x, rows[decision][row])
            x = _nothing_of(layer, x) if mixed is None else mixed
        logits: Tensor = self.head(x)
        return logits

    def inherit(self, chosen: Sequence[str]) -> MacroNetwork:
        """Return a copy of the chosen block of every layer."""
        blocks = {}
        for (name, layer), choice in zip(self.layers.items(), chosen, strict=True):
            assert isinstance(layer, MixedEdge)
            block = layer.copy_of(choice)
            if choice != SKIP and block is not None:
                blocks[name] = block
        network = MacroNetwork(copy.deepcopy(self.stem), blocks, copy.deepcopy(self.head))
        return network.train(self.training)


@torch.no_grad()
def _nothing_of(layer: nn.Module, x: Tensor) -> Tensor:
    """Return zeros of the shape that a layer's blocks return."""
    assert isinstance(layer, MixedEdge)
    return torch.zeros_like(next(iter(layer.operations.values()))(x))
