"""A search of a fraction of a second that uses everything a checkpoint must hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from balenas_core import Plugin, Registry, SearchConfig
from balenas_core.interfaces.dataset import ImageDataset
from balenas_core.interfaces.optimizer import ArchitectureOptimizer
from balenas_core.interfaces.proxy import Proxy
from balenas_core.plugins.builtin import argmax, gaussian, local, random_choice
from balenas_core.runs.directory import RunDirectory
from balenas_core.testing import ToySpace


class Images:
    """Class 0 is dark, class 1 is bright."""

    def __init__(self, count: int) -> None:
        self.labels = np.arange(count) % 2

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.full((1, 4, 4), 200 if self.labels[index] else 20, dtype=torch.uint8)


def toy_data() -> ImageDataset:
    def to_float(image: torch.Tensor) -> torch.Tensor:
        return image.float() / 255 - 0.5

    def augment(image: torch.Tensor) -> torch.Tensor:
        return to_float(image) + 0.1 * torch.randn(image.shape)

    return ImageDataset("toy", Images(64), None, augment, to_float, (1, 4, 4), ("dark", "bright"))


class NoisySpace(ToySpace):
    """Its supernet has running statistics, and draws from torch's global generator."""

    def supernet(self, task: Any) -> Any:
        supernet = super().supernet(task)
        supernet.norm = nn.BatchNorm2d(task.input_shape[0])

        def noisy(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
            x, weights = arguments
            return F.dropout(module.norm(x), 0.2, module.training), weights

        supernet.register_forward_pre_hook(noisy)
        return supernet


class Adam(ArchitectureOptimizer):
    """Adam on the parameters of the distribution, with a draw in every step."""

    def __init__(self, *, distribution: Any, dataset_size: int, generator: torch.Generator) -> None:
        self._distribution, self._generator = distribution, generator
        self._adam = torch.optim.Adam(distribution.parameters(), lr=0.05)

    def step(self, objective: Any) -> float:
        loss = objective(self._distribution.weights(self._generator))
        self._adam.zero_grad()
        loss.backward()
        self._adam.step()
        return loss.item()

    def state_dict(self) -> dict[str, Any]:
        return {"adam": self._adam.state_dict(), "generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._adam.load_state_dict(state["adam"])
        self._generator.set_state(state["generator"])


class Loss(Proxy):
    """Minus the loss of a candidate's fresh network."""

    def score(self, network: nn.Module, batch: Any) -> float:
        with torch.no_grad():
            return -F.cross_entropy(network(batch.images), batch.labels).item()


def plugin(kind: str, implementation: Any, **fields: Any) -> Plugin:
    return Plugin(kind=kind, summary="toy", api_version=1, implementation=implementation, **fields)


@pytest.fixture
def registry() -> Registry:
    registry = Registry(use_entry_points=False)
    for name, declared in {
        "noisy": plugin("space", NoisySpace, provides=("supernet",)),
        "adam": plugin("optimizer", Adam, defaults={"distribution": "gaussian"}),
        "loss": plugin("proxy", Loss),
        "data": plugin("dataset", toy_data),
        "gaussian": gaussian,
        "argmax": argmax,
        "random": random_choice,
        "local": local,
    }.items():
        registry.add(name, declared)
    return registry


@pytest.fixture
def make(registry: Registry) -> Any:
    """Return ``make(**changes)``, the configuration of a search of 3 epochs of 4 steps."""

    def config(**changes: Any) -> SearchConfig:
        training = {"epochs": 3, "batch_size": 8, "lr": 0.1, "weights_at": "sample"}
        values = {
            "space": "noisy",
            "optimizer": "adam",
            "selector": {"name": "loss", "draws": 12},
            "data": "data",
            "training": training | changes.pop("training", {}),
            "modifiers": {
                "perturbation": {"start": 0.1},
                "early_stopping": {"window": 1, "ratio": 0.001},
            },
            "checkpoint": {"every_steps": 3},
            "check_epochs": 1,
            "device": "cpu",
        }
        return SearchConfig.model_validate(values | changes, context={"registry": registry})

    return config


def without_seconds(value: Any) -> Any:
    """Return ``value`` without what may differ between two runs of one search."""
    if isinstance(value, dict):
        return {key: without_seconds(item) for key, item in value.items() if key != "seconds"}
    return [without_seconds(item) for item in value] if isinstance(value, list) else value


def outcome(run: Path) -> dict[str, Any]:
    """Return everything that must be the same, to the bit, however often a run was killed."""
    checkpoint = RunDirectory(run).read_checkpoint()
    assert checkpoint is not None
    state = {k: v for k, v in checkpoint.state.items() if k not in ("seconds", "config")}
    logs = state.pop("logs")
    assert logs["metrics"] == (run / "metrics.jsonl").read_text()
    assert logs["distribution"] == (run / "distribution.jsonl").read_text()
    return {
        "result": without_seconds(json.loads((run / "result.json").read_text())),
        "metrics": [
            without_seconds(json.loads(line))
            for line in (run / "metrics.jsonl").read_text().splitlines()
        ],
        "distribution": (run / "distribution.jsonl").read_text().splitlines(),
        "state": state,
    }


def assert_same(actual: Any, expected: Any, place: str = "") -> None:
    """Check equality to the bit of nested containers with tensors in them."""
    assert type(actual) is type(expected), place
    if isinstance(expected, torch.Tensor):
        assert torch.equal(actual, expected), place
    elif isinstance(expected, dict):
        assert actual.keys() == expected.keys(), place
        for key in expected:
            assert_same(actual[key], expected[key], f"{place}.{key}")
    elif isinstance(expected, list | tuple):
        assert len(actual) == len(expected), place
        for index, (left, right) in enumerate(zip(actual, expected, strict=True)):
            assert_same(left, right, f"{place}[{index}]")
    else:
        assert actual == expected, place


@pytest.fixture
def the_outcome() -> Any:
    return outcome


@pytest.fixture
def same() -> Any:
    return assert_same
