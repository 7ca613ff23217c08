"""The processes that share a training, as torchrun starts them."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from balenas_core.engine.device import find_device
from balenas_core.engine.launch import launch
from balenas_core.errors import BalenasError, UsageError

T = TypeVar("T")

_PATIENCE = timedelta(seconds=10)


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

    def shares_statistics(self, is_asked_for: bool) -> bool:
        """Whether batch normalisation sees the images of all processes, as only GPUs can."""
        return is_asked_for and self.count > 1 and self.device.type == "cuda"

    def sums(self, values: Tensor) -> Tensor:
        """Return the sum over all processes."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def unify(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors by those of the first process."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.count == 1:
            return flag
        return bool(self.sums(torch.tensor(float(flag), device=self.device)))

    def first(self, compute: Callable[[], T]) -> T | None:
        """Return what the first process computes; None in the others.

        Raises:
            BalenasError: The first process raised it; it is raised in all of them.
        """
        if self.count == 1:
            return compute()
        value: T | None = None
        error: BalenasError | None = None
        if self.is_first:
            try:
                value = compute()
            except BalenasError as raised:
                error = raised
        error = self.share(error)
        if error is not None:
            raise error
        return value

    def share(self, value: T) -> T:
        """Return the first process's value."""
        if self.count == 1:
            return value
        shared = [value]
        dist.broadcast_object_list(shared, src=0)
        return shared[0]


def join(device: str) -> Processes:
    """Join the processes that torchrun started, if it did.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` (each process has a GPU of its own), ...

    Raises:
        UsageError: There is no such device, several processes would share one GPU, or the
            variables of torchrun are not complete.
    """
    launched = launch()
    count = launched.count
    found = find_device(device)
    if count == 1:
        return Processes(0, 1, found)
    if found.type == "cuda":
        if found.index is not None:
            raise UsageError(
                f"device {device!r} is one GPU, for {count} processes; use --device cuda, which "
                f"gives each its own."
            )
        found = find_device(f"cuda:{launched.local_rank}")
        torch.cuda.set_device(found)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if found.type == "cuda" else "gloo")
        # A second training in this process needs the group again: processes that left one
        # cannot reliably meet anew.
        atexit.register(_leave)
    return Processes(dist.get_rank(), count, found)


def _leave() -> None:
    """Leave the group, if possible together with the others."""
    if dist.get_backend() == "gloo":
        # Its threads may abort a process whose peer has just left. One that failed never comes.
        with suppress(RuntimeError):
            dist.monitored_barrier(timeout=_PATIENCE)
    dist.destroy_process_group()
