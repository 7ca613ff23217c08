"""What proxies see of many networks that run as one program."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from balenas_core.interfaces.network_batch import NetworkBatch, Owners
from balenas_core.interfaces.proxy import Batch
from balenas_core.interfaces.stacked import Stacked
from balenas_core.scores.network_pass import PassProxy
from balenas_core.scores.probing import batch_for, preserved


class BatchPass:
    """One forward pass of many networks in training mode, and its gradient in the images.

    Args:
        networks: The networks, inside ``preserved`` and in training mode.
        batch: Images, the same for every network, and labels.
    """

    def __init__(self, networks: NetworkBatch, batch: Batch) -> None:
        self.networks = networks
        self.labels = batch.labels
        self._images = batch.images
        self._logits: Tensor | None = None

    @property
    def count(self) -> int:
        """Number of networks."""
        return self.networks.count

    @property
    def logits(self) -> Tensor:
        """`networks x batch x classes`-dim output; only after the forward pass."""
        assert self._logits is not None, "the forward pass has not run yet"
        return self._logits

    @cached_property
    def input_gradients(self) -> Tensor:
        """`networks x batch x ...`-dim gradient of each network's summed logits in its images."""
        gradients: Tensor = torch.autograd.grad(
            self.logits.sum(), self._images, allow_unused=True, materialize_grads=True
        )[0]
        return gradients

    def by_network(self, features: Tensor) -> Tensor:
        """Return what a layer sees as a `blocks x batch x ...`-dim tensor."""
        blocks: Tensor = features.unflatten(0, (-1, len(self.labels)))
        return blocks

    def _forward(self, *, gradients: bool) -> None:
        batch = len(self.labels)
        if gradients:
            # Each network has images of its own, or gradients would be those of all networks.
            repeated = self._images.expand(self.count, *self._images.shape).clone()
            self._images = repeated.requires_grad_()
            stacked = Stacked(repeated.flatten(0, 1), self.networks.every, batch)
        else:
            rows = torch.zeros_like(self.networks.every)
            stacked = Stacked(self._images.clone(), rows, batch)
        self.networks.owners = Owners(self.networks.every, stacked.rows)
        with torch.set_grad_enabled(gradients):
            logits = self.networks(stacked)
            self._logits = self.by_network(logits.features)[logits.rows]


class BatchPassProxy(PassProxy):
    """A proxy that can look at one pass of many networks."""

    @abstractmethod
    def attach_batch(self, run: BatchPass) -> Callable[[], Sequence[float]]:
        """Prepare to look at a pass of many networks that is about to run.

        Hooks may be registered on the modules of ``run.networks``; their inputs are stacked, and
        ``run.networks.owners`` tells whose they are.

        Returns:
            A function without arguments, called after the forward pass, that returns the score
            of each network: what ``attach`` gives for it.
        """


def score_batch(
    networks: NetworkBatch, batch: Batch, proxies: Mapping[str, BatchPassProxy]
) -> list[dict[str, float]]:
    """Score many networks by several proxies in one pass.

    Args:
        networks: The networks, untouched afterwards.
        batch: Images and labels.
        proxies: Proxy by name.

    Returns:
        For each network, score by name.
    """
    gradients = any(proxy.needs_gradients for proxy in proxies.values())
    with preserved(networks):
        networks.train()
        run = BatchPass(networks, batch_for(networks, batch))
        for module in networks.modules():
            if isinstance(module, nn.BatchNorm2d):
                vars(module)["forward"] = partial(_normalized, module, len(batch.labels))
        finish = {name: proxy.attach_batch(run) for name, proxy in proxies.items()}
        run._forward(gradients=gradients)
        columns = {name: one() for name, one in finish.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _normalized(norm: nn.BatchNorm2d, batch: int, x: Tensor) -> Tensor:
    """Normalise the images of each network by their own statistics."""
    if len(x) == batch:
        return _by_statistics(norm, x)
    return torch.cat([_by_statistics(norm, part) for part in x.split(batch)])


def _by_statistics(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    return functional.batch_norm(x, None, None, norm.weight, norm.bias, training=True, eps=norm.eps)
