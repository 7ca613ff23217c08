"""Everything of a macro search space but its blocks."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from balenas_core.errors import ArchitectureError
from balenas_core.interfaces.space import Decision, SearchSpace, Supernet, Task, Weights
from balenas_core.interfaces.texts import bare_text
from balenas_core.macro._architecture import SKIP, MacroArchitecture
from balenas_core.macro._network import MacroNetwork, MacroSupernet
from balenas_core.nn import ClassifierHead, MixedEdge
from balenas_core.plugins.suggest import did_you_mean


@dataclass(frozen=True, slots=True)
class LayerChoices:
    """The candidates of one layer.

    Args:
        decision: Name of the decision that the layer is a slot of. Layers of one decision have
            the same choices; within a stage they are interchangeable, so that a layer left
            out can as well be the next one.
        choices: Names of its blocks, without ``|`` and ``/``; ``SKIP`` among them if the layer
            may be left out.
    """

    decision: str
    choices: tuple[str, ...]


class MacroSpace(SearchSpace[MacroArchitecture], ABC):
    """A search space whose networks are a stem, stages of chosen blocks, and a head.

    Subclasses list the layers and build the parts. Every block of a layer maps features of one
    shape to features of one shape, and where ``SKIP`` is a choice these two are the same.
    """

    @property
    @abstractmethod
    def stages(self) -> tuple[tuple[LayerChoices, ...], ...]:
        """The layers of every stage, always the same."""

    @abstractmethod
    def stem(self, task: Task) -> nn.Module:
        """Build what comes before the first layer, with fresh weights."""

    @abstractmethod
    def block(self, stage: int, layer: int, choice: str) -> nn.Module:
        """Build a block with fresh weights.

        Args:
            stage: Number of the stage, from 0.
            layer: Number of the layer in its stage, from 0.
            choice: One of the layer's choices; never ``SKIP``.
        """

    @abstractmethod
    def head(self, task: Task) -> ClassifierHead:
        """Build what maps the last features to logits, with fresh weights."""

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """One table for each decision that the layers name, with these layers as its slots."""
        slots: dict[tuple[str, tuple[str, ...]], list[str]] = {}
        for layer in self._layers():
            slots.setdefault((layer.decision, layer.choices), []).append(layer.name)
        return tuple(
            Decision(name, tuple(layers), choices) for (name, choices), layers in slots.items()
        )

    def supernet(self, task: Task) -> MacroSupernet:
        """Build the weight-sharing network, with fresh weights."""
        layers = {
            layer.key: MixedEdge(layer.choices, {c: self._module(layer, c) for c in layer.choices})
            for layer in self._layers()
        }
        slots = [(layer.decision, layer.row) for layer in self._layers()]
        return MacroSupernet(self.stem(task), layers, slots, self.head(task))

    def network(self, architecture: MacroArchitecture, task: Task) -> MacroNetwork:
        """Build the network of an architecture, with fresh weights.

        Raises:
            ArchitectureError: The architecture is not in the space.
        """
        blocks = {
            layer.key: self._module(layer, choice)
            for layer, choice in self._chosen(architecture)
            if choice != SKIP
        }
        return MacroNetwork(self.stem(task), blocks, self.head(task))

    def inherit(self, supernet: Supernet, architecture: MacroArchitecture) -> MacroNetwork:
        """Build the network of an architecture with the supernet's weights.

        Raises:
            ArchitectureError: The architecture is not in the space.
            TypeError: The supernet is one of another kind of space.
        """
        if not isinstance(supernet, MacroSupernet):
            raise TypeError(
                f"expected a MacroSupernet, got {type(supernet).__name__}; "
                f"build one with {type(self).__name__}.supernet."
            )
        return supernet.inherit([choice for _, choice in self._chosen(architecture)])

    def one_hot(self, architecture: MacroArchitecture) -> dict[str, Tensor]:
        """Return tables with a one at each layer's block.

        Raises:
            ArchitectureError: The architecture is not in the space.
        """
        tables = {decision.name: torch.zeros(decision.shape) for decision in self.decisions}
        for layer, choice in self._chosen(architecture):
            tables[layer.decision][layer.row, layer.choices.index(choice)] = 1.0
        return tables

    def discretize(self, weights: Weights) -> MacroArchitecture:
        """Return the block of largest weight in every layer; of equals, the first.

        Raises:
            ArchitectureError: The weights have other names or shapes than the decisions.
        """
        expected = {decision.name: decision.shape for decision in self.decisions}
        got = {name: tuple(table.shape) for name, table in weights.items()}
        if got != expected:
            raise ArchitectureError(
                f"expected weights of shapes {expected}, got {got}; "
                "take them from a distribution over this space's decisions."
            )
        best = {name: table.argmax(dim=1).tolist() for name, table in weights.items()}
        return self._architecture(
            layer.choices[best[layer.decision][layer.row]] for layer in self._layers()
        )

    def parse(self, text: str) -> MacroArchitecture:
        """Read the text form, such as ``k3e6|skip/k5e3+se|k3e3``.

        Raises:
            ArchitectureError: It is not an architecture of the space; the message names the
                layer.
        """
        architecture = MacroArchitecture(
            tuple(tuple(map(str.strip, stage.split("|"))) for stage in bare_text(text).split("/"))
        )
        self._chosen(architecture)
        return architecture

    def canonical(self, architecture: MacroArchitecture) -> MacroArchitecture:
        """Return the same network with every layer left out behind those of its kind that are not.

        Raises:
            ArchitectureError: The architecture is not in the space.
        """
        alike: dict[tuple[int, str], list[str]] = {}
        for layer, choice in self._chosen(architecture):
            alike.setdefault((layer.stage, layer.decision), []).append(choice)
        ordered = {
            kind: iter(sorted(choices, key=lambda choice: choice == SKIP))
            for kind, choices in alike.items()
        }
        return self._architecture(
            next(ordered[layer.stage, layer.decision]) for layer in self._layers()
        )

    def random(self, generator: Generator) -> MacroArchitecture:
        """Draw each layer's block uniformly."""
        return self._architecture(
            layer.choices[int(torch.randint(len(layer.choices), (), generator=generator))]
            for layer in self._layers()
        )

    def mutate(self, architecture: MacroArchitecture, generator: Generator) -> MacroArchitecture:
        """Change one layer."""
        neighbors = list(self.neighbors(architecture))
        return neighbors[int(torch.randint(len(neighbors), (), generator=generator))]

    def neighbors(self, architecture: MacroArchitecture) -> Iterator[MacroArchitecture]:
        """Yield every architecture that differs in one layer."""
        chosen = self._chosen(architecture)
        blocks = [choice for _, choice in chosen]
        for index, (layer, old) in enumerate(chosen):
            for new in layer.choices:
                if new != old:
                    yield self._architecture((*blocks[:index], new, *blocks[index + 1 :]))

    def size(self) -> int:
        """Return the product of the numbers of choices."""
        return math.prod(len(layer.choices) for layer in self._layers())

    def architectures(self) -> Iterator[MacroArchitecture]:
        """Yield every architecture; the block of the last layer changes fastest."""
        choices = itertools.product(*(layer.choices for layer in self._layers()))
        return map(self._architecture, choices)

    def _layers(self) -> list[_Layer]:
        rows: Counter[str] = Counter()
        layers = []
        for stage, choices_of in enumerate(self.stages):
            for number, layer in enumerate(choices_of):
                row = rows[layer.decision]
                layers.append(_Layer(stage, number, layer.decision, row, layer.choices))
                rows[layer.decision] += 1
        return layers

    def _architecture(self, blocks: Iterable[str]) -> MacroArchitecture:
        """Return the architecture with these blocks, one for each layer in order."""
        remaining = iter(blocks)
        return MacroArchitecture(
            tuple(tuple(itertools.islice(remaining, len(stage))) for stage in self.stages)
        )

    def _module(self, layer: _Layer, choice: str) -> nn.Module:
        if choice == SKIP:
            return nn.Identity()
        return self.block(layer.stage, layer.number, choice)

    def _chosen(self, architecture: MacroArchitecture) -> list[tuple[_Layer, str]]:
        """Return every layer with its block, once it is known that the space has them.

        Raises:
            ArchitectureError: It does not.
        """
        stages, expected = architecture.stages, self.stages
        if len(stages) != len(expected):
            raise ArchitectureError(
                f"this space has {len(expected)} stages, written with '/' between them; "
                f"got {len(stages)} in {_shown(str(architecture))}."
            )
        for number, (stage, layers) in enumerate(zip(stages, expected, strict=True), start=1):
            if len(stage) != len(layers):
                raise ArchitectureError(
                    f"stage {number} has {len(layers)} layers, written with '|' between them; "
                    f"got {len(stage)} in {_shown('|'.join(stage))}."
                )
        chosen = list(zip(self._layers(), itertools.chain(*stages), strict=True))
        for layer, choice in chosen:
            if choice not in layer.choices:
                raise ArchitectureError(
                    f"unknown block {_shown(choice)} in layer {layer.name}."
                    f"{did_you_mean(choice, layer.choices)} Known: {', '.join(layer.choices)}."
                )
        return chosen


@dataclass(frozen=True, slots=True)
class _Layer:
    """A layer, where it is, and which row of its decision's table it is."""

    stage: int
    number: int
    decision: str
    row: int
    choices: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its name as a slot, such as ``2.1``."""
        return f"{self.stage + 1}.{self.number + 1}"

    @property
    def key(self) -> str:
        """Its name in a network, where a dot has a meaning."""
        return self.name.replace(".", "_")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 200 else text[:200] + "...")
