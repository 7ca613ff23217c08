"""The objective that optimizers are held against: it has a real supernet, and keeps a record."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from balenas_core.interfaces.space import Decision, Supernet, Weights
from balenas_core.random import generator, seeded


class SmallSupernet(Supernet):
    """Adds up what every choice of every slot makes of the images."""

    def __init__(self, decisions: Sequence[Decision]) -> None:
        super().__init__()
        with seeded(0):
            self.choices = nn.ModuleDict(
                {d.name: nn.Linear(4, math.prod(d.shape) * 3) for d in decisions}
            )
            self.norm = nn.BatchNorm1d(3)

    def forward(self, x: Tensor, weights: Weights) -> Tensor:
        """Return logits of three classes."""
        x = x.flatten(1)
        terms = [
            torch.einsum(
                "bsco,sc->bo", self.choices[name](x).unflatten(1, (*table.shape, 3)), table
            )
            for name, table in weights.items()
        ]
        logits: Tensor = self.norm(torch.stack(terms).sum(0))
        return logits


class RecordedObjective:
    """A loss with a known minimum, plus a little of a supernet's; notes what it is asked.

    Args:
        decisions: What is optimised.
        broken: At which call the loss is not finite; None for never.
        value: Of that loss.
    """

    supernet: Supernet
    weight_optimizer: torch.optim.SGD

    def __init__(
        self, decisions: Sequence[Decision], *, broken: int | None = None, value: float = math.nan
    ) -> None:
        self.supernet = SmallSupernet(decisions).train()
        self.weight_optimizer = torch.optim.SGD(
            self.supernet.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3
        )
        source = generator(0, "objective")
        self._images = torch.randn(8, 1, 2, 2, generator=source)
        self._labels = torch.arange(8) % 3
        self.targets = {
            d.name: torch.softmax(3 * torch.randn(d.shape, generator=source), dim=-1)
            for d in decisions
        }
        self._broken, self._value = broken, value
        self.losses: list[float] = []
        self.weights: list[Weights] = []
        self._take_a_weight_step()

    def __call__(self, weights: Weights) -> Tensor:
        """Return the loss, differentiable in ``weights`` alone."""
        trainable = [p for p in self.supernet.parameters() if p.requires_grad]
        for parameter in trainable:
            parameter.requires_grad_(False)
        try:
            return self._loss(weights)
        finally:
            for parameter in trainable:
                parameter.requires_grad_(True)

    def validation_loss(self, weights: Weights) -> Tensor:
        """Return the loss, differentiable in both."""
        return self._loss(weights)

    def training_loss(self, weights: Weights) -> Tensor:
        """Return the loss, differentiable in both."""
        return self._loss(weights)

    def accuracy(self, weights: Weights) -> float:
        """Return the percentage of slots whose largest weight is where the target's is."""
        hits = [t.argmax(-1) == weights[name].argmax(-1) for name, t in self.targets.items()]
        return 100.0 * torch.cat(hits).double().mean().item()

    def averaged(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the same: there is one process."""
        return list(tensors)

    def distance(self, weights: Weights) -> float:
        """Return the distance to the minimum."""
        return self._distance(weights).item()

    def _distance(self, weights: Weights) -> Tensor:
        terms = [
            (weights[name] - t.to(weights[name])).square().sum() for name, t in self.targets.items()
        ]
        return torch.stack(terms).sum()

    def _loss(self, weights: Mapping[str, Tensor]) -> Tensor:
        logits = self.supernet(self._images, weights)
        loss = self._distance(weights) + 1e-3 * nn.functional.cross_entropy(logits, self._labels)
        if self._broken is not None and len(self.losses) >= self._broken:
            loss = loss * self._value
        self.losses.append(loss.item())
        self.weights.append({name: table.detach().clone() for name, table in weights.items()})
        return loss

    def _take_a_weight_step(self) -> None:
        """Give the weight optimizer a momentum, as in the middle of a search."""
        weights = {name: t.clone() for name, t in self.targets.items()}
        self._loss(weights).backward()
        self.weight_optimizer.step()
        self.weight_optimizer.zero_grad()
        self.losses.clear()
        self.weights.clear()
