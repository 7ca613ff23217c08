"""The networks of several architectures as one program: what a space may offer.

Cells of a few channels on small images keep a CPU busy with calling layers, not with numbers.
Networks that inherit the weights of one supernet have equal layers at equal places: each layer
is called once for all networks that have it there, with their features stacked along the batch
dimension, and what several networks would compute from equal features is computed once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from balenas_core.interfaces.stacked import Stacked


@dataclass(frozen=True, slots=True)
class Owners:
    """Whose features the layer sees that is now running.

    Args:
        networks: `n`-dim int64 tensor on the CPU: numbers of the networks that have the layer.
        rows: `n`-dim int64 tensor on the CPU: the block of images that is each network's.
    """

    networks: Tensor
    rows: Tensor


class NetworkBatch(nn.Module, ABC):
    """The networks of several architectures, with the weights of one supernet, as one program.

    Every network computes what it computes alone in training mode, up to round-off: batch
    normalisation takes the statistics of each network's own images.

    Args:
        count: Number of networks.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.owners = Owners(torch.arange(0), torch.arange(0))

    @abstractmethod
    def forward(self, images: Stacked) -> Stacked:
        """Return the logits, as stacked `batch x classes`-dim features.

        ``owners`` must be right whenever a layer is called.

        Args:
            images: Stacked `batch x channels x height x width`-dim images.
        """

    @property
    def every(self) -> Tensor:
        """The numbers of all networks."""
        return torch.arange(self.count)

    def call(self, layer: Callable[[Tensor], Tensor], networks: Tensor, x: Stacked) -> Stacked:
        """Call a layer on the features that some of the networks have.

        Args:
            layer: The same for all of them.
            networks: Their numbers.
            x: Features of all networks.

        Returns:
            Features of those networks.
        """
        used = x.used_by(networks)
        self.owners = Owners(networks, used.rows)
        return Stacked(layer(used.features), used.rows, used.batch)
