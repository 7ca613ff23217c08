"""The layout of images in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from balenas_core.nn._functions import runs_plain

_is_kept: ContextVar[bool] = ContextVar("memory_as_given", default=False)


def preferred_memory(x: Tensor) -> Tensor:
    """Return the images in the memory layout in which convolutions are fastest.

    Channels last on a CPU: at 16 channels a 3x3 convolution takes 0.6 and a depthwise one 0.1
    of the time that it takes channels first, on one thread of a server CPU.
    """
    if x.device.type == "cpu" and not runs_plain() and not _is_kept.get():
        return x.contiguous(memory_format=torch.channels_last)
    return x


@contextmanager
def memory_as_given() -> Iterator[None]:
    """Let networks compute in the layout in which they get their images.

    Batch normalisation with channels last sums in single precision without compensation: enough
    ReLUs change sides to move gradients by 1e-4 to 1e-3 of what they are channels first. That is
    nothing to a search, and too much to compare with another implementation.
    """
    token = _is_kept.set(True)
    try:
        yield
    finally:
        _is_kept.reset(token)
