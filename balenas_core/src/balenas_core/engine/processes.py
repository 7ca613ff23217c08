"""The processes that share a search or a training, as torchrun starts them."""

from __future__ import annotations

import atexit
import hashlib
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from balenas_core.engine.device import find_device
from balenas_core.engine.launch import launch
from balenas_core.errors import BalenasError, DivergenceError, SearchInterrupted, UsageError

T = TypeVar("T")

_LONGEST_WAIT: Final = timedelta(days=1)
"""A process may train a candidate for hours while the others wait for it. One that has died is
noticed by its connection, or by torchrun."""
_PATIENCE: Final = timedelta(seconds=10)
_LOST: Final = (
    "connection closed by peer",
    "connection reset by peer",
    "broken pipe",
    "timed out waiting",
    "socket timeout",
    "nccl",
)
"""What gloo and NCCL say of a process that is gone."""


@dataclass(slots=True)
class _Group:
    """The one process group of this process.

    Args:
        is_broken: Whether a process is gone, or this one leaves alone: nobody waits any more.
    """

    is_broken: bool = False


_group = _Group()


class ProcessLostError(BalenasError):
    """Another process of the group has ended, and with it the work that all of them share."""


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among those that share a search or a training.

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

    @property
    def shard(self) -> tuple[int, int]:
        """Which part of every batch is its own: (number, of how many)."""
        return self.rank, self.count

    def shares_statistics(self, is_asked_for: bool) -> bool:
        """Whether torch's batch normalisation sees all processes' images, as only GPUs can."""
        return is_asked_for and self.count > 1 and self.device.type == "cuda"

    def share_of(self, batch_size: int) -> int:
        """Return how many images of a batch are its own.

        Raises:
            UsageError: The batch cannot be divided evenly.
        """
        share, rest = divmod(batch_size, self.count)
        if rest:
            raise UsageError(
                f"training.batch_size ({batch_size}) must be a multiple of the number of "
                f"processes, {self.count}."
            )
        return share

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

    def averaged(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the means over all processes, which have tensors of the same shapes."""
        if self.count == 1 or not tensors:
            return list(tensors)
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        parts = (self.sums(flat) / self.count).split([tensor.numel() for tensor in tensors])
        return [
            part.view(tensor.shape).to(tensor.dtype)
            for part, tensor in zip(parts, tensors, strict=True)
        ]

    def first(self, compute: Callable[[], T]) -> T | None:
        """Return what the first process computes; None in the others.

        Raises:
            Exception: The first process raised it; it is raised in all of them.
        """
        if self.count == 1:
            return compute()
        value: T | None = None
        error: Exception | None = None
        if self.is_first:
            try:
                value = compute()
            except Exception as raised:
                error = raised
        self._raise_shared(error)
        return value

    def of_first(self, compute: Callable[[], T]) -> T:
        """Return in every process what the first one computes.

        Raises:
            Exception: The first process raised it; it is raised in all of them.
        """
        value = self.first(compute)
        return self.share(value)  # type: ignore[return-value]  # the first one has it

    def _raise_shared(self, error: Exception | None) -> None:
        shared = self.share(_portable(error))
        raised = shared if error is None else error
        if raised is not None:
            raise of_all(raised)

    def share(self, value: T) -> T:
        """Return the first process's value."""
        if self.count == 1:
            return value
        shared = [value]
        dist.broadcast_object_list(shared, src=0)
        return shared[0]

    def gather(self, value: T) -> list[T]:
        """Return every process's value, in the order of their numbers."""
        if self.count == 1:
            return [value]
        found: list[T | None] = [None] * self.count
        dist.all_gather_object(found, value)
        return found  # type: ignore[return-value]  # every place is filled

    @contextmanager
    def together(self, what: str) -> Iterator[None]:
        """Go on after the block only if no process has raised in it.

        Args:
            what: What could not be done, for the message of those who could.

        Raises:
            BalenasError: In a process that did not raise: what another one did.
        """
        error: Exception | None = None
        try:
            yield
        except Exception as raised:
            if self.count == 1:
                raise
            error = raised
        if self.count == 1:
            return
        told = None if error is None else (str(error) or type(error).__name__, _exit_code(error))
        found = self.gather(told)
        if error is not None:
            # Where the first one could not either, its error says enough.
            raise of_all(error) if found[0] is not None else error
        for rank, one in enumerate(found):
            if one is not None:
                kind = UsageError if one[1] == UsageError.exit_code else BalenasError
                raise of_all(kind(f"process {rank} of {self.count} cannot {what}: {one[0]}"))

    def check_same(self, what: str, tensors: Iterable[Tensor], advice: str) -> None:
        """Check that every process has the same numbers, by a checksum.

        Args:
            what: What the numbers are of.
            tensors: The numbers.
            advice: What to do where they differ, as a sentence.

        Raises:
            BalenasError: They differ; in every process.
        """
        if self.count == 1:
            return
        digest = hashlib.sha256()
        for tensor in tensors:
            digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
        found = self.gather(digest.hexdigest()[:16])
        others = [rank for rank, one in enumerate(found) if one != found[0]]
        if others:
            listed = ", ".join(f"process {rank}: {one}" for rank, one in enumerate(found))
            raise of_all(
                BalenasError(
                    f"{what} must be the same in every process, and is not (checksums {listed}). "
                    f"{advice}"
                )
            )


def _portable(error: Exception | None) -> Exception | None:
    """Return an error that other processes can read."""
    try:
        copied: Exception | None = pickle.loads(pickle.dumps(error))
    except Exception:  # an error of a plugin may refuse in any way
        return BalenasError(str(error))
    return copied


_OF_ALL: Final = "raised in every process"


def of_all(error: Exception) -> Exception:
    """Return the error, with a note that every process raises it, or the first one as well."""
    if _OF_ALL not in getattr(error, "__notes__", ()):
        error.add_note(_OF_ALL)
    return error


def is_of_all(error: BaseException) -> bool:
    """Whether the first process raises the error as well, so that the others can be silent."""
    return _OF_ALL in getattr(error, "__notes__", ())


def _exit_code(error: Exception) -> int:
    return error.exit_code if isinstance(error, BalenasError) else BalenasError.exit_code


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
        backend = "nccl" if found.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=_LONGEST_WAIT)
        # A second job in this process needs the group again: processes that left one cannot
        # reliably meet anew.
        atexit.register(_leave)
    return Processes(dist.get_rank(), count, found)


@contextmanager
def losses_told(processes: Processes, *, is_stop_requested: Callable[[], bool]) -> Iterator[None]:
    """Say that another process is gone instead of what its connection says of it.

    Args:
        processes: Those that work together in the block.
        is_stop_requested: Whether they were asked to stop.

    Raises:
        ProcessLostError: It is.
        SearchInterrupted: It is, and that was to be expected.
    """
    try:
        yield
    except (SearchInterrupted, DivergenceError):  # of all processes
        raise
    except Exception as error:
        if processes.count == 1 or is_of_all(error):
            raise
        _group.is_broken = True
        text = str(error).lower()
        if not (isinstance(error, RuntimeError) and any(words in text for words in _LOST)):
            raise
        if is_stop_requested():
            raise SearchInterrupted("stopped together with the other processes") from error
        raise ProcessLostError(
            f"another of the {processes.count} processes that share this work has ended, and "
            f"process {processes.rank} ends with it. If it says nothing above, it was killed, as "
            f"the system does where memory is short; fewer processes, or a smaller "
            f"training.batch_size, need less."
        ) from error


def _leave() -> None:
    """Leave the group, if possible together with the others."""
    if _group.is_broken:
        return
    if dist.get_backend() == "gloo":
        # Its threads may abort a process whose peer has just left. One that failed never comes.
        with suppress(RuntimeError):
            dist.monitored_barrier(timeout=_PATIENCE)
    dist.destroy_process_group()
