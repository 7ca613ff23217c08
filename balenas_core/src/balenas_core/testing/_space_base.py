"""What the checks of search spaces share."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from balenas_core.interfaces.space import AnySpace, SearchSpace, Task, Weights
from balenas_core.random import generator, seeded
from balenas_core.testing._plugin import PluginConformance


class SpaceChecks(PluginConformance):
    """A space, architectures of it, and weights."""

    kind = "space"
    base = SearchSpace
    may_draw = True  # fresh weights come from torch's global generator

    task: ClassVar[Task] = Task((3, 16, 16), 5)
    other_task: ClassVar[Task] = Task((1, 8, 8), 10)
    """Of another number of channels, size and number of classes."""

    samples: ClassVar[int] = 8

    def space(self) -> AnySpace:
        """Build the space."""
        space: AnySpace = self.build()
        return space

    def use(self) -> None:
        """Build, vary, discretise, inherit and run."""
        space = self.space()
        architecture = space.random(generator(0))
        space.mutate(architecture, generator(1))
        with seeded(0):
            supernet = space.supernet(self.task)
            network = space.network(architecture, self.task)
        images = images_of(self.task)
        supernet(images, space.one_hot(architecture))
        space.inherit(supernet, architecture)(images)
        network(images).sum().backward()
        space.discretize(relaxed(space, 0))

    def sample(self, space: AnySpace) -> list[Any]:
        """Return some architectures."""
        return [space.random(generator(seed)) for seed in range(self.samples)]

    def alive(self, space: AnySpace) -> Any:
        """Return an architecture whose network looks at its images, where there is one."""
        sample = self.sample(space)
        for architecture in sample:
            with seeded(0), torch.no_grad():
                network = space.network(architecture, self.task).eval()
                if not is_constant(network(images_of(self.task, 3))):
                    return architecture
        return sample[0]


def is_constant(logits: Tensor) -> bool:
    """Whether logits are the same for every image: nothing leads from input to output."""
    return torch.allclose(logits, logits[:1].expand_as(logits), atol=1e-9)


def images_of(task: Task, count: int = 2, *, seed: int = 0) -> Tensor:
    """Return random images."""
    return torch.randn(count, *task.input_shape, generator=generator(seed))


def relaxed(space: AnySpace, seed: int) -> dict[str, Tensor]:
    """Return random weights, every one above zero."""
    source = generator(seed, "weights")
    return {d.name: torch.randn(d.shape, generator=source).softmax(-1) for d in space.decisions}


def double(weights: Weights) -> dict[str, Tensor]:
    """Return weights in float64."""
    return {name: value.double() for name, value in weights.items()}


def with_noise(module: nn.Module, seed: int = 0) -> nn.Module:
    """Add noise to every parameter: what starts as zero, or all alike, hides mistakes."""
    source = generator(seed, "noise")
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=source, dtype=parameter.dtype)
            parameter.add_(0.1 * noise)
    return module


def filled_by_shape(module: nn.Module, *, is_blind: bool = False) -> nn.Module:
    """Give all parameters of one shape the same values, so that renamed layers are equal.

    Args:
        module: Its parameters are overwritten.
        is_blind: Whether a layer weighs all its input channels alike, so that the order of what
            is concatenated before it does not matter either.
    """
    with torch.no_grad():
        for parameter in module.parameters():
            source = generator(0, "shape", *parameter.shape)
            values = torch.randn(parameter.shape, generator=source, dtype=parameter.dtype)
            if parameter.dim() == 1:
                parameter.copy_(0.5 + 0.1 * values)
                continue
            if is_blind:
                values = values[:, :1].expand_as(values)
            parameter.copy_(values / max(1, parameter[0].numel()) ** 0.5)
    return module


def rows_that_differ(one: Weights, other: Weights) -> list[tuple[str, int]]:
    """Return (decision, slot) of the rows in which weights differ."""
    return [
        (name, slot)
        for name, table in one.items()
        for slot in range(len(table))
        if not torch.equal(table[slot], other[name][slot])
    ]
