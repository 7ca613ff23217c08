"""Batch normalisation by the images of all processes that share a batch, on any device.

torch's own is for GPUs, and works on layers; supernets normalise inside of shared computations.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from balenas_core.errors import UsageError

_REDUCED = (0, 2, 3)


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """``BatchNorm2d`` that in training normalises by the batch of all processes.

    ``synced_statistics`` makes one of an ordinary layer, and an ordinary one of it again.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `batch x channels x height x width`-dim features."""
        if not self.training:
            return super().forward(x)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        scale = x.new_ones(self.num_features) if self.weight is None else self.weight
        statistics = (self.running_mean, self.running_var)
        momentum = self.momentum or 0.0
        return synced_norm(x, scale, self.bias, statistics, momentum=momentum, eps=self.eps)


def is_synced(norm: nn.Module) -> bool:
    """Whether a layer normalises by the batch of all processes as it is now."""
    return isinstance(norm, SyncedBatchNorm2d) and norm.training


@contextmanager
def synced_statistics(network: nn.Module) -> Iterator[None]:
    """Let every batch normalisation of a network see the batches of all processes in the block.

    The layers stay the same objects with the same parameters and buffers. All processes must
    compute the same layers in the same order, and have equally many images.

    Raises:
        UsageError: A layer normalises in another way, which nobody here can share.
    """
    layers = []
    for name, module in network.named_modules():
        if not isinstance(module, nn.modules.batchnorm._BatchNorm):
            continue
        if type(module) is not nn.BatchNorm2d:
            raise UsageError(
                f"processes.sync_batch_norm shares the statistics of BatchNorm2d, and layer "
                f"{name} of this supernet is a {type(module).__name__}; set it to false."
            )
        layers.append(module)
    for layer in layers:
        layer.__class__ = SyncedBatchNorm2d
    try:
        yield
    finally:
        for layer in layers:
            layer.__class__ = nn.BatchNorm2d


def synced_norm(
    x: Tensor,
    scale: Tensor,
    shift: Tensor | None,
    statistics: tuple[Tensor | None, Tensor | None],
    *,
    momentum: float,
    eps: float,
) -> Tensor:
    """Return ``scale * (x - mean) / sqrt(variance + eps) + shift`` over all processes' images.

    Args:
        x: `batch x channels x height x width`-dim features of this process; all have equally
            many images.
        scale: `channels`-dim tensor.
        shift: `channels`-dim tensor; None for zero.
        statistics: Running mean and variance, which move by ``momentum``; None for none.
        momentum: Share of this batch in them.
        eps: Added to the variance.
    """
    result: Tensor = _SyncedNorm.apply(x, scale, shift, statistics, momentum, eps)
    return result


class _SyncedNorm(torch.autograd.Function):
    """One exchange forwards (means and variances), one backwards (two sums).

    Variances are combined from those within the processes and that of their means, which loses
    no digits, as the mean of squares would.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        scale: Tensor,
        shift: Tensor | None,
        statistics: tuple[Tensor | None, Tensor | None],
        momentum: float,
        eps: float,
    ) -> Tensor:
        wide = x if x.dtype == torch.float64 else x.float()
        within, mean_here = torch.var_mean(wide, _REDUCED, correction=0)
        processes = dist.get_world_size()
        found = [torch.empty_like(torch.stack((mean_here, within))) for _ in range(processes)]
        dist.all_gather(found, torch.stack((mean_here, within)))
        means, variances = torch.stack(found, dim=1)
        mean = means.mean(0)
        variance = (variances + (means - mean).square()).mean(0)
        count = processes * (x.numel() // x.shape[1])
        running_mean, running_variance = statistics
        if running_mean is not None and running_variance is not None:
            unbiased = variance * (count / max(count - 1, 1))
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_variance.lerp_(unbiased.to(running_variance.dtype), momentum)
        ctx.save_for_backward(x, scale, mean, variance)
        ctx.count, ctx.eps, ctx.has_shift = count, eps, shift is not None
        normalized = functional.batch_norm(
            wide, mean, variance, scale.to(wide.dtype), shift, False, 0.0, eps
        )
        return normalized.to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, mean, variance = ctx.saved_tensors
        wide = x if x.dtype == torch.float64 else x.float()
        gradient = gradients[0].to(wide.dtype)
        spread = (variance + ctx.eps).rsqrt()
        shape = (1, -1, 1, 1)
        normalized = (wide - mean.view(shape)) * spread.view(shape)
        by_shift = gradient.sum(_REDUCED)
        by_scale = (gradient * normalized).sum(_REDUCED)
        sums = torch.stack((by_shift, by_scale))
        dist.all_reduce(sums)
        mean_gradient, mean_product = sums / ctx.count
        centred = gradient - mean_gradient.view(shape) - normalized * mean_product.view(shape)
        by_x = (centred * (scale * spread).view(shape)).to(x.dtype)
        shift_gradient = by_shift if ctx.has_shift else None
        return by_x, by_scale.to(scale.dtype), shift_gradient, None, None, None
