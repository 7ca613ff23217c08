"""Small networks that proxies are held against: what real ones have, and what goes wrong."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from balenas_core.interfaces.proxy import Batch
from balenas_core.interfaces.space import Task
from balenas_core.random import generator, seeded


class ProbeNetwork(nn.Module):
    """Convolutions with batch normalisation, a residual, dropout, a layer used twice."""

    def __init__(self, task: Task, *, width: int = 4, depth: int = 1) -> None:
        super().__init__()
        self.stem = nn.Conv2d(task.input_shape[0], width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
            for _ in range(depth)
        )
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Linear(width, task.num_classes)
        self.note = {"plain": [1, 2]}

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        x = self.relu(self.norm(self.stem(x)))
        for block in self.blocks:
            x = self.relu(x + block(x))
        x = F.avg_pool2d(x, 2)
        logits: Tensor = self.classifier(self.dropout(x.mean((2, 3))))
        return logits


class Interrupted(RuntimeError):
    """What a network raises in its middle."""


class _Raising(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise Interrupted("this network cannot go on")


def probe_network(task: Task, *, width: int = 4, depth: int = 1, seed: int = 0) -> ProbeNetwork:
    """Return a network as a caller may have it: gradients in place, a layer frozen, one in eval."""
    with seeded(seed):
        network = ProbeNetwork(task, width=width, depth=depth)
    source = generator(seed, "gradients")
    for parameter in network.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=source)
    network.classifier.bias.requires_grad_(False)
    network.dropout.eval()
    network.stem.register_forward_hook(_nothing)
    return network


def failing_network(task: Task) -> ProbeNetwork:
    """Return a network that raises ``Interrupted`` after its blocks have run."""
    network = probe_network(task)
    network.blocks.append(_Raising())
    return network


def probe_batch(task: Task, seed: int = 0) -> Batch:
    """Return eight random images."""
    images = torch.randn(8, *task.input_shape, generator=generator(seed, "probe"))
    return Batch(images, torch.arange(8) % task.num_classes)


def _nothing(module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
    del module, arguments, output
