"""A training of a fraction of a second that uses everything a checkpoint must hold."""

from __future__ import annotations

import json

import numpy as np
import torch
from torch import nn

from balenas_core import Plugin, Registry
from balenas_core.interfaces.dataset import ImageDataset
from balenas_core.nn import RegularizedNetwork, drop_path
from balenas_core.plugins.registry import default_registry
from balenas_core.testing import ToySpace
from balenas_timm import read_weights
from balenas_timm.recipes import TrainingJob


class Images:
    """Class 0 is dark, class 1 is bright."""

    def __init__(self, count):
        self.labels = np.arange(count) % 2

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        level = 200 if self.labels[index] else 20
        return torch.full((1, 4, 4), level + index % 16, dtype=torch.uint8)


def to_float(image):
    return image.float() / 255 - 0.5


def noisy(image):
    return to_float(image) + 0.1 * torch.randn(image.shape)


def toy_data():
    return ImageDataset(
        "toy", Images(64), Images(20), noisy, to_float, (1, 4, 4), ("dark", "bright")
    )


def no_test_data():
    return ImageDataset("untested", Images(64), None, noisy, to_float, (1, 4, 4), ("a", "b"))


class HelpedNetwork(RegularizedNetwork):
    """A toy network with batch normalisation, drop path and, perhaps, an auxiliary head."""

    def __init__(self, network, task, *, has_head):
        super().__init__()
        self.drop_path_prob = 0.0
        self.norm = nn.BatchNorm2d(task.input_shape[0])
        self.network = network
        self.auxiliary = nn.Linear(16, task.num_classes) if has_head else None

    def forward(self, x):
        x = self.norm(x)
        if self.drops_paths:
            x = drop_path(x, self.drop_path_prob)
        return self.network(x)

    def forward_with_auxiliary(self, x):
        head = None if self.auxiliary is None else self.auxiliary(x.flatten(1))
        return self(x), head


class HalfDeadNetwork(nn.Module):
    """Normalises by statistics of each process's own images, and has a layer that nothing uses."""

    def __init__(self, network, task):
        super().__init__()
        self.norm = nn.BatchNorm2d(task.input_shape[0])
        self.unused = nn.Linear(2, 2)
        self.network = network

    def forward(self, x):
        return self.network(self.norm(x))


class HalfDeadSpace(ToySpace):
    """The toy space with such networks."""

    def network(self, architecture, task):
        return HalfDeadNetwork(super().network(architecture, task), task)


class ShrinkingSpace(ToySpace):
    """The toy space with networks that normalise one pixel of each image."""

    def network(self, architecture, task):
        one = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(1))
        inner = super().network(architecture, task)
        return nn.Sequential(one, nn.Upsample(scale_factor=4), inner)


class HelpedSpace(ToySpace):
    """The toy space with such networks."""

    def network(self, architecture, task):
        return HelpedNetwork(super().network(architecture, task), task, has_head=True)


def registry():
    registry = Registry(use_entry_points=False)
    for kind, name, implementation in (
        ("space", "toy", ToySpace),
        ("space", "helped", HelpedSpace),
        ("space", "half_dead", HalfDeadSpace),
        ("space", "shrinking", ShrinkingSpace),
        ("dataset", "toy", toy_data),
        ("dataset", "untested", no_test_data),
    ):
        registry.add(
            name, Plugin(kind=kind, summary="toy", api_version=1, implementation=implementation)
        )
    registry.add("quick", default_registry().find("recipe", "quick").load())
    return registry


QUICK = {"epochs": 3, "batch_size": 8, "lr": 0.1}
EVERYTHING = {
    **QUICK,
    "drop_path": 0.3,
    "auxiliary_weight": 0.4,
    "mixup": 0.2,
    "cutmix": 0.5,
    "label_smoothing": 0.1,
    "auto_augment": "rand-m5-mstd0.5",
    "erasing": 0.5,
    "cutout": 2,
    "ema": 0.9,
    "accumulate": 2,
    "schedule_per": "step",
    "warmup_epochs": 1,
    "optimizer": "adamw",
    "lr": 0.01,
}


def job(*, space="toy", data="toy", training=QUICK, found=None, **changes):
    values = {
        "architecture": "conv-conv",
        "space": space,
        "data": data,
        "training": training,
        "checkpoint": {"every_steps": 3},
        "device": "cpu",
        "threads": 1,
        **changes,
    }
    return TrainingJob.model_validate(values, context={"registry": found or registry()})


def dead_job(**changes):
    settings = {"epochs": 2, "batch_size": 8, "lr": 0.1, "ema": 0.9}
    return job(space="half_dead", training=settings, **changes)


def make(folder, **changes):
    return job(space="helped", training=EVERYTHING, output=folder, **changes)


def _without_seconds(record):
    return {key: value for key, value in record.items() if key != "seconds"}


def outcome(folder):
    """Return everything that must not depend on interruptions."""
    metrics = (folder / "metrics.jsonl").read_text().splitlines()
    weights = read_weights(folder / "model.safetensors")
    return (
        _without_seconds(json.loads((folder / "result.json").read_text())),
        [_without_seconds(json.loads(line)) for line in metrics],
        {name: tensor.numpy().tobytes() for name, tensor in weights.items()},
    )
