"""From the name of a device to one that is there, and threads of the CPU."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import torch

from balenas_core.errors import UsageError

_log = logging.getLogger(__name__)

_SMALL_IMAGE: Final = 16 * 16
_CGROUP_QUOTAS: Final = (
    Path("/sys/fs/cgroup/cpu.max"),
    Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
)


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


def default_threads(input_shape: tuple[int, int, int]) -> int:
    """Return with how many threads to compute where nobody says so.

    One for images of at most 16x16 pixels: a second one gains a few percent there on a machine
    that does nothing else, and loses much where something does, since threads wait for one
    another. Otherwise as many as torch takes, but no more than the cores that this process may
    use. The number does not depend on what else runs: sums of other threads differ in the last
    digits, and one seed must give one result.

    Args:
        input_shape: Shape of an image: channels, height, width.
    """
    if input_shape[1] * input_shape[2] <= _SMALL_IMAGE:
        return 1
    return min(torch.get_num_threads(), usable_cores())


def use_default_threads(input_shape: tuple[int, int, int]) -> None:
    """Let torch use ``default_threads`` until the end of the ``cpu_threads`` around it."""
    threads = default_threads(input_shape)
    _warn_of_busy_cores(threads)
    torch.set_num_threads(threads)


def usable_cores() -> int:
    """Return how many cores this process may use, by its affinity and its control group."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        cores = os.cpu_count() or 1
    return max(1, min(cores, *(_quota(path) or cores for path in _CGROUP_QUOTAS)))


def _quota(path: Path) -> int | None:
    """Return the cores of a control group, rounded up; None if it has no limit."""
    try:
        words = path.read_text(encoding="ascii").split()
        if len(words) == 1:  # version 1 keeps the period in a file of its own
            words += (path.parent / "cpu.cfs_period_us").read_text(encoding="ascii").split()
        quota, period = (int(word) for word in words)
    except (OSError, ValueError):
        return None
    return -(-quota // period) if quota > 0 and period > 0 else None


def _warn_of_busy_cores(threads: int) -> None:
    """Say so where other programs use the cores that several threads would share."""
    try:
        busy = os.getloadavg()[0]
    except (AttributeError, OSError):  # not on Windows
        return
    cores = usable_cores()
    if threads > 1 and busy + threads > 1.5 * cores:
        _log.warning(
            "%d threads share %d cores with other programs (load %.1f) and will wait for one "
            "another; fewer, with --threads, can be faster",
            threads,
            cores,
            busy,
        )
