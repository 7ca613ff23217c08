"""Short trainings of candidates by SGD."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn
from torch.nn import functional

from balenas_core.interfaces.proxy import Batch


def train_by_sgd(
    network: nn.Module,
    epochs: Iterable[Iterable[Batch]],
    *,
    rate: Callable[[int, int], float],
    momentum: float,
    weight_decay: float,
) -> bool:
    """Train a network in place, and return whether its loss stayed finite.

    Args:
        network: On the device of the batches; left in training mode.
        epochs: The batches of each epoch.
        rate: ``rate(epoch, step)`` is the learning rate of a step, steps counted over all epochs.
        momentum: Nesterov's.
        weight_decay: L2 penalty of all weights.
    """
    network.train()
    sgd = torch.optim.SGD(
        network.parameters(),
        lr=0.0,
        momentum=momentum,
        nesterov=momentum > 0,
        weight_decay=weight_decay,
    )
    step = 0
    for epoch, batches in enumerate(epochs):
        for batch in batches:
            sgd.param_groups[0]["lr"] = rate(epoch, step)
            sgd.zero_grad(set_to_none=True)
            loss = functional.cross_entropy(network(batch.images), batch.labels)
            if not torch.isfinite(loss):
                return False
            loss.backward()
            sgd.step()
            step += 1
    return True
