"""From the name of a device to one that is there, and threads of the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from balenas_core.errors import UsageError


def find_device(name: str) -> torch.device:
    """Return the device that is called so; for ``auto``, the GPU if there is one.

    Raises:
        UsageError: There is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"device must be auto, cpu, cuda, cuda:N or mps (got {name!r}).") from None
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not available.get(device.type, False):
        raise UsageError(
            f"device {name!r} is not available here; use --device auto or --device cpu. "
            f"'balenas doctor' shows what torch {torch.__version__} can use."
        )
    return device


@contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Let torch use so many threads inside the block; None for as many as it does."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
