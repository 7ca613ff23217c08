"""The space of vision transformers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from balenas_core import Decision, SearchSpace, Supernet, Task, Weights
from balenas_core.errors import ArchitectureError
from torch import Generator, Tensor

from balenas_space_transformer import Options
from balenas_space_transformer._architecture import Transformer, parse
from balenas_space_transformer._network import TransformerNetwork, TransformerSupernet

_Choices = tuple[int, ...]
"""Number of the choice in every slot: width, depth, then heads and MLP ratio of every block."""


class TransformerSpace(SearchSpace[Transformer]):
    """Width and depth of a vision transformer, and heads and MLP ratio of every block."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._blocks = options.depths[-1]
        per_block = (options.heads, options.mlp_ratios) * self._blocks
        self._slots: tuple[tuple[int, ...], ...] = (options.widths, options.depths, *per_block)

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """One table for each of width, depth, heads and MLP ratio."""
        options, blocks = self._options, tuple(str(n + 1) for n in range(self._blocks))
        return (
            Decision("width", ("all",), tuple(map(str, options.widths))),
            Decision("depth", ("all",), tuple(map(str, options.depths))),
            Decision("heads", blocks, tuple(map(str, options.heads))),
            Decision("mlp_ratio", blocks, tuple(map(str, options.mlp_ratios))),
        )

    def supernet(self, task: Task) -> Supernet:
        """Build the largest transformer."""
        return TransformerSupernet(self._options, task)

    def network(self, architecture: Transformer, task: Task) -> TransformerNetwork:
        """Build one transformer."""
        return TransformerNetwork(self._options, architecture, task)

    def inherit(self, supernet: Supernet, architecture: Transformer) -> TransformerNetwork:
        """Cut one transformer out of the largest."""
        assert isinstance(supernet, TransformerSupernet)
        return supernet.inherit(architecture)

    def one_hot(self, architecture: Transformer) -> dict[str, Tensor]:
        """Return the weights of an architecture."""
        rows = [
            F.one_hot(torch.tensor(choice), len(sizes)).to(torch.get_default_dtype())
            for choice, sizes in zip(self._choices(architecture), self._slots, strict=True)
        ]
        heads, ratios = torch.stack(rows[2::2]), torch.stack(rows[3::2])
        return {"width": rows[0][None], "depth": rows[1][None], "heads": heads, "mlp_ratio": ratios}

    def discretize(self, weights: Weights) -> Transformer:
        """Return the largest weight of every slot."""
        best = {name: table.argmax(-1).tolist() for name, table in weights.items()}
        per_block = zip(best["heads"], best["mlp_ratio"], strict=True)
        return self._of((*best["width"], *best["depth"], *itertools.chain(*per_block)))

    def parse(self, text: str) -> Transformer:
        """Read ``w24/d2/h2r2-h1r1-h4r2``."""
        architecture = parse(text)
        self._choices(architecture)
        return architecture

    def canonical(self, architecture: Transformer) -> Transformer:
        """Return the architecture whose blocks that are not there are the smallest."""
        smallest = (self._options.heads[0], self._options.mlp_ratios[0])
        there = architecture.blocks[: architecture.depth]
        rest = (smallest,) * (self._blocks - architecture.depth)
        return Transformer(architecture.width, architecture.depth, there + rest)

    def random(self, generator: Generator) -> Transformer:
        """Draw every slot uniformly."""
        return self._of(
            tuple(int(torch.randint(len(sizes), (), generator=generator)) for sizes in self._slots)
        )

    def mutate(self, architecture: Transformer, generator: Generator) -> Transformer:
        """Change one slot."""
        neighbors = list(self.neighbors(architecture))
        return neighbors[int(torch.randint(len(neighbors), (), generator=generator))]

    def neighbors(self, architecture: Transformer) -> Iterator[Transformer]:
        """Yield what differs in one slot."""
        choices = self._choices(architecture)
        for slot, sizes in enumerate(self._slots):
            for choice in range(len(sizes)):
                if choice != choices[slot]:
                    yield self._of((*choices[:slot], choice, *choices[slot + 1 :]))

    def size(self) -> int:
        """Return the number of text forms."""
        return math.prod(len(sizes) for sizes in self._slots)

    def architectures(self) -> Iterator[Transformer]:
        """Yield every architecture."""
        return map(self._of, itertools.product(*(range(len(sizes)) for sizes in self._slots)))

    def _of(self, choices: _Choices) -> Transformer:
        width, depth, *blocks = (
            sizes[choice] for choice, sizes in zip(choices, self._slots, strict=True)
        )
        return Transformer(width, depth, tuple(zip(blocks[::2], blocks[1::2], strict=True)))

    def _choices(self, architecture: Transformer) -> _Choices:
        values = (architecture.width, architecture.depth, *itertools.chain(*architecture.blocks))
        if len(values) != len(self._slots):
            raise ArchitectureError(
                f"this space has {self._blocks} blocks; {architecture} has "
                f"{len(architecture.blocks)}."
            )
        names = ("width", "depth", *("heads", "MLP ratio") * self._blocks)
        for value, sizes, name in zip(values, self._slots, names, strict=True):
            if value not in sizes:
                known = ", ".join(map(str, sizes))
                raise ArchitectureError(f"{name} must be one of {known}; got {value}.")
        return tuple(sizes.index(value) for value, sizes in zip(values, self._slots, strict=True))
