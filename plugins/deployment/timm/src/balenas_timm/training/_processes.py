"""The processes that share a training, as torchrun starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from balenas_core._device import find_device
from balenas_core.errors import UsageError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among those that share a training.

    Args:
        rank: Its number; 0 reads and writes the run directory.
        count: How many there are.
        device: Where it computes.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether it is the one that reads and writes."""
        return self.rank == 0

    def sums(self, values: Tensor) -> Tensor:
        """Return the sum over all processes."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.count == 1:
            return flag
        return bool(self.sums(torch.tensor(float(flag), device=self.device)))

    def share(self, value: T) -> T:
        """Return the first process's value."""
        if self.count == 1:
            return value
        shared = [value]
        dist.broadcast_object_list(shared, src=0)
        return shared[0]


def is_first_process() -> bool:
    """Whether this process is the first of those that torchrun started, or alone."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def processes(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun started; alone without it.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` (each process has a GPU of its own), ...

    Raises:
        UsageError: There is no such device, or several processes would share one GPU.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes(0, 1, find_device(device))
        return
    local = int(os.environ["LOCAL_RANK"])
    kind = find_device(device)
    if kind.type == "cuda":
        if kind.index is not None:
            raise UsageError(
                f"device {device!r} is one GPU, for {count} processes; use --device cuda, which "
                f"gives each its own."
            )
        kind = find_device(f"cuda:{local}")
        torch.cuda.set_device(kind)
    dist.init_process_group("nccl" if kind.type == "cuda" else "gloo")
    try:
        yield Processes(dist.get_rank(), count, kind)
    finally:
        dist.destroy_process_group()
