"""Training-free proxies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Batch:
    """Images (`batch x channels x height x width`) and labels (`batch`, int64)."""

    images: Tensor
    labels: Tensor


class Proxy(ABC):
    """Scores an untrained network; larger is better.

    A plugin's implementation is called as ``Proxy(options)``. ``score`` leaves the network as
    it found it (weights, buffers, modes, hooks, gradients), also when it raises.
    """

    needs_data: bool = True
    """False if the score depends on the network and the image shape alone."""

    needs_labels: bool = False
    needs_gradients: bool = False

    @abstractmethod
    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the score; ``-inf`` for a network that the proxy finds degenerate.

        Never NaN: a candidate without a usable score ranks last.
        """
