"""A whole search of ``ToySpace`` that takes a fraction of a second."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from balenas_core.config import SearchConfig
from balenas_core.interfaces.dataset import ImageDataset
from balenas_core.interfaces.distribution import ArchitectureDistribution
from balenas_core.interfaces.optimizer import ArchitectureOptimizer, Objective
from balenas_core.plugins.builtin import argmax, gaussian, local, point, random_choice
from balenas_core.plugins.plugin import Plugin
from balenas_core.plugins.registry import Registry
from balenas_core.testing._toy import ToySpace


class ToyImages:
    """Class 0 is dark and class 1 is bright: any network that sees the mean separates them."""

    def __init__(self, count: int) -> None:
        self.labels = np.arange(count, dtype=np.int64) % 2

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Tensor:
        return torch.full((1, 4, 4), 200 if self.labels[index] else 20, dtype=torch.uint8)


def toy_data(count: int = 64) -> ImageDataset:
    """Return a dataset of two classes."""

    def to_float(image: Tensor) -> Tensor:
        return image.float() / 255 - 0.5

    return ImageDataset(
        "toy", ToyImages(count), None, to_float, to_float, (1, 4, 4), ("dark", "bright")
    )


class ToyOptimizer(ArchitectureOptimizer):
    """Plain gradient descent on the distribution."""

    def __init__(
        self, *, distribution: ArchitectureDistribution, dataset_size: int, generator: Generator
    ) -> None:
        self.distribution, self.dataset_size = distribution, dataset_size
        self._generator = generator
        self._sgd = torch.optim.SGD(distribution.parameters(), lr=0.1)

    def step(self, objective: Objective) -> float:
        """Take one step."""
        self._sgd.zero_grad()
        loss = objective(self.distribution.weights(self._generator))
        loss.backward()
        self._sgd.step()
        return loss.item()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the descent."""
        return self._sgd.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of the descent."""
        self._sgd.load_state_dict(state)


def toy_plugin(kind: str, implementation: Any, **fields: Any) -> Plugin:
    """Return the declaration of a plugin that is made at run time."""
    return Plugin(kind=kind, summary="toy", api_version=1, implementation=implementation, **fields)


def toy_registry() -> Registry:
    """Return a registry with all that a search of ``ToySpace`` needs, and nothing installed."""
    registry = Registry(use_entry_points=False)
    for name, plugin in {
        "toy": toy_plugin("space", ToySpace, provides=("supernet",)),
        "sgd": toy_plugin("optimizer", ToyOptimizer, defaults={"distribution": "point"}),
        "data": toy_plugin("dataset", toy_data),
        "point": point,
        "gaussian": gaussian,
        "argmax": argmax,
        "random": random_choice,
        "local": local,
    }.items():
        registry.add(name, plugin)
    return registry


def toy_config(registry: Registry, **changes: Any) -> SearchConfig:
    """Return the configuration of a search of two epochs of four steps, without a check."""
    training = {"epochs": 2, "batch_size": 8, "lr": 0.1, **changes.pop("training", {})}
    values = {
        "space": "toy",
        "optimizer": "sgd",
        "selector": "argmax",
        "data": "data",
        "check_epochs": 0,
    }
    return SearchConfig.model_validate(
        {**values, "training": training, **changes}, context={"registry": registry}
    )
