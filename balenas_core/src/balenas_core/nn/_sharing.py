"""What the operations that leave or enter one node of a supernet have in common.

A supernet applies many operations to the same features and sums many results at the same
node. ``Source`` computes once what depends on the features alone; ``NodeSum`` adds results in
place. Nothing here changes a result beyond round-off.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable

import torch
from torch import Tensor, nn

from balenas_core.nn._functions import Scaled, add_scaled, keeping_layout, runs_plain
from balenas_core.nn._partial import Partition


class Source:
    """Features of a node, with results that several operations on them share.

    Args:
        features: `batch x channels x height x width`-dim tensor.
    """

    def __init__(self, features: Tensor) -> None:
        self.features = features
        self._shared: dict[Hashable, Tensor] = {}
        self._seen: dict[Partition, Source] = {}

    def shared(self, key: Hashable, compute: Callable[[], Tensor]) -> Tensor:
        """Return what ``compute()`` returned at the first call with this key."""
        if key not in self._shared:
            self._shared[key] = compute()
        return self._shared[key]

    def seen(self, partition: Partition) -> Source:
        """Return the channels that a partition shows to operations, as a source."""
        if partition not in self._seen:
            self._seen[partition] = Source(partition.seen(self.features))
        return self._seen[partition]

    def passed(self, partition: Partition) -> Tensor:
        """Return the channels that pass by the operations."""
        return self.shared(partition, lambda: partition.passed(self.features))

    def relu(self) -> Tensor:
        """Return relu(features)."""
        return self.shared("relu", lambda: torch.relu(self.features))


class NodeSum:
    """Sum of the operations that enter one node."""

    def __init__(self) -> None:
        self._total: Tensor | None = None
        self._phases: Tensor | None = None
        self._scaled: list[Scaled] = []
        self._partial: tuple[Partition, NodeSum, NodeSum] | None = None

    def add(self, term: Tensor) -> None:
        """Add a term that nobody else uses; it may be written to."""
        self._total = _plus(self._total, term)

    def add_phases(self, term: Tensor) -> None:
        """Add a term in the form of ``to_phases``, as ``add``."""
        self._phases = _plus(self._phases, term)

    def extend(self, add: Callable[[Tensor | None], Tensor]) -> None:
        """Replace the sum by ``add(sum)``, which may write to it; None is the empty sum."""
        self._total = add(self._total)

    def add_scaled(self, base: Tensor, weight: Tensor, value: float) -> None:
        """Add ``weight * base``; ``value`` is the number in ``weight``."""
        self._scaled.append(Scaled(base, weight, value))

    def partial(self, partition: Partition) -> tuple[NodeSum, NodeSum]:
        """Return the sums of the channels that operations see and of those that pass by.

        A node has one number of parts; ``partition`` may differ in its stride alone.
        """
        if self._partial is None:
            self._partial = partition, NodeSum(), NodeSum()
        _, seen, passed = self._partial
        return seen, passed

    def result(self) -> Tensor | None:
        """Return the sum, or None if nothing was added."""
        if self._partial is not None:
            partition, *sums = self._partial
            seen, passed = (part.result() for part in sums)
            if seen is not None and passed is not None:
                self.add(partition.join(seen, passed))
        if self._phases is not None:
            self.add(from_phases(self._phases))
        if self._scaled:
            self._total = add_scaled(self._total, self._scaled)
        return None if self._total is None else keeping_layout(self._total)


def _plus(total: Tensor | None, term: Tensor) -> Tensor:
    if total is None:
        return term
    return total + term if runs_plain() else total.add_(term)


class SharingOperation(nn.Module, ABC):
    """A candidate operation that shares work with others on the same features."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Return the operation's result."""

    @abstractmethod
    def accumulate(self, source: Source, weight: Tensor, value: float, total: NodeSum) -> None:
        """Add ``weight * forward(source.features)`` to ``total``.

        Args:
            source: Features, and what other operations have computed of them.
            weight: Scalar tensor.
            value: The number in ``weight``; not zero.
            total: The sum at the node that the operation leads to.
        """


def to_phases(x: Tensor) -> Tensor:
    """Put the four pixels of every 2x2 block into four images of half the size.

    A convolution of dilation 2 becomes one of dilation 1 in this form; layers that treat all
    pixels alike (1x1 convolution, batch normalisation) are the same in it.

    Args:
        x: `batch x channels x 2h x 2w`-dim features.

    Returns:
        `4 batch x channels x h x w`-dim features, channels last in memory.
    """
    batch, channels, height, width = x.shape
    blocks = x.permute(0, 2, 3, 1).reshape(batch, height // 2, 2, width // 2, 2, channels)
    phases = blocks.permute(2, 4, 0, 1, 3, 5).reshape(-1, height // 2, width // 2, channels)
    return phases.permute(0, 3, 1, 2)


def from_phases(x: Tensor) -> Tensor:
    """Undo ``to_phases``."""
    batch, channels, height, width = x.shape
    blocks = x.permute(0, 2, 3, 1).reshape(2, 2, batch // 4, height, width, channels)
    pixels = blocks.permute(2, 3, 0, 4, 1, 5).reshape(batch // 4, 2 * height, 2 * width, channels)
    return pixels.permute(0, 3, 1, 2)
