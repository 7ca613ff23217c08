"""A complete search space of nine networks, small enough for any test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from balenas_core.errors import ArchitectureError
from balenas_core.interfaces.architecture import Architecture, Cell, Edge
from balenas_core.interfaces.distribution import ArchitectureDistribution
from balenas_core.interfaces.proxy import Batch
from balenas_core.interfaces.selection import Division, SelectionContext
from balenas_core.interfaces.space import Decision, SearchSpace, Supernet, Task, Weights
from balenas_core.random import generator, seeded

_OPERATIONS = ("none", "skip", "conv")
_SLOTS = ("first", "second")


@dataclass(frozen=True)
class ToyArchitecture(Architecture):
    """Two layers, each absent (the signal stops), skipped, or a 1x1 convolution."""

    operations: tuple[str, str]

    def __str__(self) -> str:
        return "-".join(self.operations)

    def cells(self) -> tuple[Cell, ...]:
        """Return the chain as one cell."""
        nodes = ("in", "middle", "out")
        edges = tuple(
            Edge(source, target, operation)
            for source, target, operation in zip(nodes, nodes[1:], self.operations, strict=False)
            if operation != "none"
        )
        return (Cell("toy", ("in",), ("middle", "out"), ("out",), edges),)


class ToySupernet(Supernet):
    """Stem, two mixed layers, classifier."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.stem = nn.Conv2d(task.input_shape[0], 4, 1)
        self.convs = nn.ModuleList(nn.Conv2d(4, 4, 1) for _ in _SLOTS)
        self.classifier = nn.Linear(4, task.num_classes)

    def forward(self, x: Tensor, weights: Weights) -> Tensor:
        """Return logits."""
        x = self.stem(x)
        for conv, row in zip(self.convs, weights["operations"], strict=True):
            x = row[1] * x + row[2] * F.relu(conv(x))
        logits: Tensor = self.classifier(x.mean((2, 3)))
        return logits


class ToyNetwork(nn.Module):
    """The stand-alone network of one architecture."""

    def __init__(self, architecture: ToyArchitecture, task: Task) -> None:
        super().__init__()
        self.operations = architecture.operations
        self.stem = nn.Conv2d(task.input_shape[0], 4, 1)
        self.convs = nn.ModuleDict(
            {
                str(i): nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU())
                for i, operation in enumerate(self.operations)
                if operation == "conv"
            }
        )
        self.classifier = nn.Linear(4, task.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        x = self.stem(x)
        for i, operation in enumerate(self.operations):
            if operation == "conv":
                x = self.convs[str(i)](x)
            elif operation == "none":
                x = torch.zeros_like(x)
        logits: Tensor = self.classifier(x.mean((2, 3)))
        return logits


class ToySpace(SearchSpace[ToyArchitecture]):
    """Nine architectures: the smallest space that exercises every interface."""

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """One table: an operation for each of two layers."""
        return (Decision("operations", _SLOTS, _OPERATIONS),)

    def supernet(self, task: Task) -> ToySupernet:
        """Build the supernet."""
        return ToySupernet(task)

    def network(self, architecture: ToyArchitecture, task: Task) -> ToyNetwork:
        """Build the stand-alone network."""
        return ToyNetwork(architecture, task)

    def inherit(self, supernet: Supernet, architecture: ToyArchitecture) -> ToyNetwork:
        """Build the network with the supernet's weights."""
        assert isinstance(supernet, ToySupernet)
        stem, classifier = supernet.stem, supernet.classifier
        task = Task((stem.in_channels, 1, 1), classifier.out_features)
        network = ToyNetwork(architecture, task).to(stem.weight)
        network.stem.load_state_dict(stem.state_dict())
        network.classifier.load_state_dict(classifier.state_dict())
        for name, layer in network.convs.items():
            assert isinstance(layer, nn.Sequential)
            layer[0].load_state_dict(supernet.convs[int(name)].state_dict())
        return network

    def one_hot(self, architecture: ToyArchitecture) -> dict[str, Tensor]:
        """Return one-hot rows."""
        chosen = torch.tensor([_OPERATIONS.index(o) for o in architecture.operations])
        return {"operations": F.one_hot(chosen, len(_OPERATIONS)).to(torch.get_default_dtype())}

    def discretize(self, weights: Weights) -> ToyArchitecture:
        """Take the largest weight of every row."""
        first, second = weights["operations"].argmax(-1).tolist()
        return ToyArchitecture((_OPERATIONS[first], _OPERATIONS[second]))

    def parse(self, text: str) -> ToyArchitecture:
        """Read ``"conv-skip"``."""
        operations = text.split("-")
        if len(operations) != len(_SLOTS) or not set(operations) <= set(_OPERATIONS):
            raise ArchitectureError(f"expected two of {_OPERATIONS} joined by '-', got {text!r}")
        return ToyArchitecture((operations[0], operations[1]))

    def canonical(self, architecture: ToyArchitecture) -> ToyArchitecture:
        """Return ``none-none`` for every network whose output is constant."""
        is_dead = "none" in architecture.operations
        return ToyArchitecture(("none", "none")) if is_dead else architecture

    def size(self) -> int:
        """Return their number."""
        return int(len(_OPERATIONS) ** len(_SLOTS))

    def architectures(self) -> Iterator[ToyArchitecture]:
        """Yield all nine architectures."""
        for first, second in itertools.product(_OPERATIONS, repeat=2):
            yield ToyArchitecture((first, second))

    def random(self, generator: Generator) -> ToyArchitecture:
        """Draw both operations uniformly."""
        first, second = torch.randint(len(_OPERATIONS), (2,), generator=generator).tolist()
        return ToyArchitecture((_OPERATIONS[first], _OPERATIONS[second]))

    def mutate(self, architecture: ToyArchitecture, generator: Generator) -> ToyArchitecture:
        """Return a random neighbour."""
        neighbors = list(self.neighbors(architecture))
        return neighbors[int(torch.randint(len(neighbors), (1,), generator=generator))]

    def neighbors(self, architecture: ToyArchitecture) -> Iterator[ToyArchitecture]:
        """Yield the four architectures that differ in one operation."""
        for slot, operation in itertools.product(range(len(_SLOTS)), _OPERATIONS):
            if operation != architecture.operations[slot]:
                changed = list(architecture.operations)
                changed[slot] = operation
                yield ToyArchitecture((changed[0], changed[1]))


class ToyObjective:
    """Sum over decisions of (weights - target)^2: differentiable, with a known minimum."""

    supernet: Supernet
    weight_optimizer: torch.optim.SGD

    def __init__(self, decisions: tuple[Decision, ...], seed: int = 0) -> None:
        task = Task((1, 2, 2), 3)
        self.supernet = ToySupernet(task)
        self.weight_optimizer = torch.optim.SGD(self.supernet.parameters(), lr=0.1)
        source = generator(seed, "objective")
        self.targets = {
            d.name: torch.softmax(3 * torch.randn(d.shape, generator=source), dim=-1)
            for d in decisions
        }

    def __call__(self, weights: Weights) -> Tensor:
        """Return the squared distance to the targets."""
        terms = [
            (weights[name] - t.to(weights[name])).square().sum() for name, t in self.targets.items()
        ]
        return torch.stack(terms).sum()

    def validation_loss(self, weights: Weights) -> Tensor:
        """Return the same distance."""
        return self(weights)

    def training_loss(self, weights: Weights) -> Tensor:
        """Return the same distance."""
        return self(weights)

    def accuracy(self, weights: Weights) -> float:
        """Return the percentage of slots whose largest weight is where the target's is."""
        hits = [
            t.argmax(-1) == weights[name].argmax(-1).to(t.device)
            for name, t in self.targets.items()
        ]
        return 100.0 * torch.cat(hits).double().mean().item()

    def averaged(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the same: there is one process."""
        return list(tensors)


def toy_context(
    distribution: ArchitectureDistribution,
    *,
    space: ToySpace | None = None,
    seed: int = 0,
    task: Task | None = None,
) -> SelectionContext:
    """Return a selection context on random images for a distribution over ``ToySpace``."""
    space = space or ToySpace()
    task = task or Task((1, 4, 4), 3)
    source = generator(seed, "images")
    images = torch.randn(8, *task.input_shape, generator=source)
    batch = Batch(images, torch.arange(8) % task.num_classes)

    with seeded(seed):
        supernet = space.supernet(task)

    @torch.no_grad()
    def evaluate(network: nn.Module) -> float:
        correct = network(batch.images).argmax(-1) == batch.labels
        return 100.0 * float(correct.double().mean())

    @torch.no_grad()
    def evaluate_loss(network: nn.Module) -> float:
        return float(nn.functional.cross_entropy(network(batch.images), batch.labels))

    def divide(fraction: float, batch_size: int, seed: int) -> Division:
        held_out = max(1, round(fraction * len(batch.labels)))
        order = torch.randperm(len(batch.labels), generator=generator(seed, "divide"))
        here, rest = order[:held_out], order[held_out:]
        return Division(
            training=lambda epoch: iter([Batch(batch.images[rest], batch.labels[rest])] * 2),
            validation=lambda: iter([Batch(batch.images[here], batch.labels[here])]),
            steps=2,
        )

    return SelectionContext(
        space=space,
        task=task,
        distribution=distribution,
        supernet=supernet,
        batch=batch,
        evaluate=evaluate,
        generator=generator(seed, "selection"),
        seed=seed,
        device=torch.device("cpu"),
        report=lambda done, total: None,
        training_batches=lambda epoch: iter([batch] * 4),
        evaluate_loss=evaluate_loss,
        divide=divide,
    )
