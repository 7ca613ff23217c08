"""One forward pass that several proxies look at together.

Many proxies need the same forward pass, and several the same backward pass. A proxy that
derives from ``PassProxy`` says what it wants to see, and ``score_many`` runs what is shared
once; the scores are those that each proxy gives alone.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional

from balenas_core.interfaces.proxy import Batch, Proxy
from balenas_core.scores.probing import Loss, batch_for, layer_weights, preserved


class NetworkPass:
    """One forward pass of a network in training mode, and the gradients asked of it.

    Gradients are computed when first asked for; there are at most two backward passes, one
    from the loss and one from the sum of the logits, however many proxies ask.

    Args:
        network: The network, inside ``preserved`` and in training mode.
        batch: Images and labels, of the network's type and on its device.
        loss: (logits, labels) -> scalar.
    """

    def __init__(self, network: nn.Module, batch: Batch, loss: Loss) -> None:
        self.network = network
        self.labels = batch.labels
        self.weights = layer_weights(network)
        self._images = batch.images
        self._loss = loss
        self._taps: list[Tensor] = []
        self._logits: Tensor | None = None

    @property
    def logits(self) -> Tensor:
        """`batch x num_classes`-dim output; only after the forward pass."""
        assert self._logits is not None, "the forward pass has not run yet"
        return self._logits

    @cached_property
    def loss(self) -> Tensor:
        """The loss of the batch."""
        return self._loss(self.logits, self.labels)

    def tap(self, tensor: Tensor) -> int:
        """Ask, in a forward hook, for the loss's gradient in ``tensor``; returns its number.

        The network must go on with a copy of the tensor if it might write into it.
        """
        self._taps.append(tensor)
        return len(self._taps) - 1

    def tap_gradient(self, number: int) -> Tensor | None:
        """Return the loss's gradient in tapped tensor ``number``; None if it has none."""
        return self._loss_gradients[len(self.weights) + number]

    @property
    def weight_gradients(self) -> tuple[Tensor | None, ...]:
        """The loss's gradient in each of ``weights``; None where the loss does not depend."""
        return self._loss_gradients[: len(self.weights)]

    @cached_property
    def input_gradients(self) -> Tensor:
        """Gradient of the sum of the logits in the images; zeros where there is none."""
        return self._gradients(self.logits.sum(), [self._images], materialize=True)[0]  # type: ignore[return-value]

    @cached_property
    def _loss_gradients(self) -> tuple[Tensor | None, ...]:
        return self._gradients(self.loss, [*self.weights, *self._taps])

    def _gradients(
        self, output: Tensor, inputs: list[Tensor], *, materialize: bool = False
    ) -> tuple[Tensor | None, ...]:
        if not output.requires_grad or not inputs:
            return tuple(torch.zeros_like(x) if materialize else None for x in inputs)
        return torch.autograd.grad(
            output, inputs, retain_graph=True, allow_unused=True, materialize_grads=materialize
        )

    def _forward(self, *, gradients: bool) -> None:
        self._images.requires_grad_(gradients)
        with torch.set_grad_enabled(gradients):
            # A copy, because a network must not write into a leaf of the graph.
            self._logits = self.network(self._images.clone())


Attach = Callable[[NetworkPass], Callable[[], float]]
"""Registers hooks on the pass's network; returns what computes the score afterwards."""


class PassProxy(Proxy):
    """A proxy that needs one forward pass in training mode, and perhaps gradients of it."""

    @abstractmethod
    def attach(self, run: NetworkPass) -> Callable[[], float]:
        """Prepare to look at a forward pass that is about to run.

        Args:
            run: The pass; hooks may be registered on the modules of ``run.network`` (they
                are removed afterwards). Nothing of it may be changed.

        Returns:
            A function without arguments, called after the forward pass, that returns the
            score.
        """

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the score from a pass of its own."""
        return score_many(network, batch, {"score": self})["score"]


def score_pass(
    network: nn.Module,
    batch: Batch,
    attach: Attach,
    *,
    loss: Loss = functional.cross_entropy,
    gradients: bool = True,
) -> float:
    """Run one pass for one ``attach`` and return its score."""
    return _score_together(network, batch, {"score": attach}, loss, gradients)["score"]


def score_many(
    network: nn.Module,
    batch: Batch,
    proxies: Mapping[str, Proxy],
    *,
    loss: Loss = functional.cross_entropy,
) -> dict[str, float]:
    """Score a network by several proxies, sharing the forward and backward passes.

    Args:
        network: The network, untouched afterwards.
        batch: Images and labels.
        proxies: Proxy by name. Those that are no ``PassProxy`` are scored one by one.
        loss: (logits, labels) -> scalar, for the shared pass.

    Returns:
        Score by name, in the order of ``proxies``.
    """
    shared = {name: proxy for name, proxy in proxies.items() if isinstance(proxy, PassProxy)}
    attach = {name: proxy.attach for name, proxy in shared.items()}
    gradients = any(proxy.needs_gradients for proxy in shared.values())
    scores = _score_together(network, batch, attach, loss, gradients) if shared else {}
    return {
        name: scores[name] if name in scores else float(proxy.score(network, batch))
        for name, proxy in proxies.items()
    }


def _score_together(
    network: nn.Module,
    batch: Batch,
    attach: Mapping[str, Attach],
    loss: Loss,
    gradients: bool,
) -> dict[str, float]:
    with preserved(network):
        network.train()
        run = NetworkPass(network, batch_for(network, batch), loss)
        finish = {name: one(run) for name, one in attach.items()}
        run._forward(gradients=gradients)
        return {name: one() for name, one in finish.items()}
