"""How batch normalisation is done in a network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from balenas_core.nn._synced_norm import is_synced, synced_norm


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


@dataclass(frozen=True, slots=True)
class NormArguments:
    """What torch's functions of batch normalisation take beside the features.

    Args:
        mean: Running mean; None to leave it alone.
        variance: Running variance; None likewise.
        scale: Scale of each channel.
        shift: Shift of each channel, if any.
        is_training: Whether to normalise by the batch.
        momentum: Share of the batch in the running averages.
        eps: Added to the variance.
        is_synced: Whether the batch is that of all processes.
    """

    mean: Tensor | None
    variance: Tensor | None
    scale: Tensor
    shift: Tensor | None
    is_training: bool
    momentum: float
    eps: float
    is_synced: bool = False

    def apply(self, x: Tensor) -> Tensor:
        """Return the normalised features."""
        if self.is_synced:
            statistics = (self.mean, self.variance)
            return synced_norm(
                x, self.scale, self.shift, statistics, momentum=self.momentum, eps=self.eps
            )
        return functional.batch_norm(
            x,
            self.mean,
            self.variance,
            self.scale,
            self.shift,
            self.is_training,
            self.momentum,
            self.eps,
        )


def scaled_arguments(norm: nn.BatchNorm2d, x: Tensor, weight: Tensor) -> NormArguments:
    """Return the arguments that make ``weight * norm(x)``, and count the batch.

    weight * (gamma * x_hat + beta) = (weight * gamma) * x_hat + weight * beta.
    """
    # Half-precision features are normalised with single-precision parameters.
    dtype = torch.float32 if x.dtype in (torch.float16, torch.bfloat16) else x.dtype
    weight = weight.to(x.device, dtype)
    gamma, beta = norm.weight, norm.bias
    uses_buffers = not norm.training or norm.track_running_stats
    if norm.training and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    return NormArguments(
        mean=norm.running_mean if uses_buffers else None,
        variance=norm.running_var if uses_buffers else None,
        scale=weight.repeat(norm.num_features) if gamma is None else weight * gamma,
        shift=None if beta is None else weight * beta,
        is_training=norm.training or norm.running_mean is None,
        momentum=norm.momentum or 0.0,
        eps=norm.eps,
        is_synced=is_synced(norm),
    )


def scaled_norm(norm: nn.Module, x: Tensor, weight: Tensor) -> Tensor:
    """Return ``weight * norm(x)`` of a batch normalisation, with the weight in its scale."""
    assert isinstance(norm, nn.BatchNorm2d)
    return scaled_arguments(norm, x, weight).apply(x)
