"""How batch normalisation is done in a network."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchNormMode:
    """Kind of batch normalisation, the same in all layers of a network's cells.

    Args:
        affine: Whether scale and shift are learned.
        uses_running_statistics: Whether evaluation uses running averages; False normalises by
            the batch in evaluation too.
        momentum: Share of the new batch in the running averages.
        eps: Added to the variance.
    """

    affine: bool = True
    uses_running_statistics: bool = True
    momentum: float = 0.1
    eps: float = 1e-5

    def make(self, channels: int) -> nn.BatchNorm2d:
        """Return a fresh layer for ``channels`` channels."""
        return nn.BatchNorm2d(
            channels,
            eps=self.eps,
            momentum=self.momentum,
            affine=self.affine,
            track_running_stats=self.uses_running_statistics,
        )
