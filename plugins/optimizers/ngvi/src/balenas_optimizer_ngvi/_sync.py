"""Means over the processes that draw samples together.

One all-reduce carries gradients, curvatures and the record of which parameters have a
gradient anywhere: R processes with K samples each then equal one with R * K. Averaging the
gradients alone (what DDP does) would make the curvature estimate too small by R.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from balenas_optimizer_ngvi._bucket import Bucket
from balenas_optimizer_ngvi._layout import linear


def rank(group: dist.ProcessGroup | None) -> int:
    """Return the index of this process, 0 where nothing is distributed."""
    return dist.get_rank(group) if dist.is_available() and dist.is_initialized() else 0


def _world_size(group: dist.ProcessGroup | None) -> int:
    return dist.get_world_size(group) if dist.is_available() and dist.is_initialized() else 1


def largest(value: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    """Return the largest of all processes' values."""
    if _world_size(group) > 1:
        value = value.clone()
        dist.all_reduce(value, op=dist.ReduceOp.MAX, group=group)
    return value


def average_(bucket: Bucket, active: list[int], group: dist.ProcessGroup | None) -> list[int]:
    """Average a bucket's gradients and curvatures over the processes, in place.

    Returns:
        Indices of the parameters that have a gradient in any process; ``.grad`` is the mean.
    """
    count = _world_size(group)
    if count == 1:
        return active
    if bucket.gradient is None or bucket.curvature is None:
        raise AssertionError("samples are collected before they are averaged")
    has_gradient = torch.zeros(len(bucket.parameters)).to(bucket.gradient)
    bucket.gradient.zero_()
    views = bucket.views(bucket.gradient)
    for index, gradient in zip(active, bucket.gradients(active), strict=True):
        views[index].copy_(gradient)
        has_gradient[index] = 1.0
    message = torch.cat([bucket.gradient, bucket.curvature, has_gradient])
    dist.all_reduce(message, group=group)
    gradient, curvature, seen = message.split([bucket.size, bucket.size, len(has_gradient)])
    torch.div(gradient, count, out=bucket.gradient)
    torch.div(curvature, count, out=bucket.curvature)
    anywhere = [index for index, hits in enumerate(seen.tolist()) if hits > 0]
    for index in anywhere:
        parameter = bucket.parameters[index]
        if parameter.grad is None:
            parameter.grad = torch.empty_like(parameter)
        target = parameter.grad if parameter.is_contiguous() else linear(parameter.grad)
        target.copy_(views[index].view(target.shape))
    return anywhere
