"""Scores an untrained network."""

from __future__ import annotations

from balenas_core import Batch, Proxy
from torch import nn

from balenas_proxy_alive_layers import Options


class AliveLayers(Proxy):
    """The number of parameters, convolutions counted ``convolutions`` times."""

    needs_data = False

    def __init__(self, options: Options) -> None:
        self._options = options

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the score; larger is better."""
        del batch
        total = 0.0
        for module in network.modules():
            factor = self._options.convolutions if isinstance(module, nn.Conv2d) else 1.0
            total += factor * sum(p.numel() for p in module.parameters(recurse=False))
        return total
