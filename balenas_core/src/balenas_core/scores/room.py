"""Whether a network fits into memory, before it is built."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from balenas_core.errors import LESS_MEMORY, TooLargeError
from balenas_core.interfaces.architecture import Architecture
from balenas_core.interfaces.space import AnySpace, Supernet, Task, Weights

_CGROUP_LIMITS: Final = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
_NUMBER: Final = 4  # bytes of a float32
_FEATURES_BY_WEIGHT: Final = 4
"""Numbers that a network keeps of a pixel for each of its weights, at the very most."""


def check_room(
    space: AnySpace,
    task: Task,
    *,
    architecture: Architecture | None = None,
    weights: Callable[[], Weights] | None = None,
    images: int = 0,
    device: torch.device | None = None,
) -> None:
    """Check that the machine has the memory that a network needs, without allocating any.

    Weights are counted once, and three times for training (with gradients and momentum); what a
    training step keeps for the backward pass is found by a run on torch's meta device, where
    tensors have shapes and no numbers. Where a network cannot run there, weights are all that
    is looked at. What else is in memory is left out of account: what is refused would fail.

    Args:
        space: Builds the network.
        task: What it is built for.
        architecture: Its architecture; None for the space's supernet.
        weights: Draws weights of the choices in a step of the supernet, on the CPU, where they
            matter: operations of weight zero keep nothing. All alike by default.
        images: Images of a training step; 0 for a network that is not trained.
        device: Where it will be; the CPU by default.

    Raises:
        TooLargeError: It needs more than there is.
    """
    memory = memory_of(device or torch.device("cpu"))
    if memory is None:
        return
    with torch.random.fork_rng([]):
        try:
            with torch.device("meta"):
                network = (
                    space.supernet(task)
                    if architecture is None
                    else space.network(architecture, task)
                )
        except (RuntimeError, NotImplementedError):  # it looks at numbers when it is built
            return
        size = sum(p.numel() for p in network.parameters()) * _NUMBER
        pixels = task.input_shape[1] * task.input_shape[2]
        kept = 0
        if images and size * _FEATURES_BY_WEIGHT * pixels * images > memory:
            kept = _kept_bytes(_forward(space, network, task, weights)) * images
    needed = (size * 3 if images else size) + kept
    if needed > memory:
        of_images = f", {images} images of a step {_size(kept)}" if kept else ""
        raise TooLargeError(
            f"the network needs about {_size(needed)} of memory (weights {_size(size)}"
            f"{of_images}), and there are {_size(memory)}; {LESS_MEMORY}."
        )


def _forward(
    space: AnySpace, network: nn.Module, task: Task, weights: Callable[[], Weights] | None
) -> Callable[[], object]:
    image = torch.empty(1, *task.input_shape, device="meta")
    if not isinstance(network, Supernet):
        return lambda: network(image)
    # Which operations run is decided by numbers: the weights of the choices have some.
    given = (
        {d.name: torch.full(d.shape, 1 / d.shape[1], requires_grad=True) for d in space.decisions}
        if weights is None
        else weights()
    )
    return lambda: network(image, given)


def _kept_bytes(run: Callable[[], object]) -> int:
    """Return how many bytes a forward pass keeps for the backward pass; 0 if it cannot run."""
    kept: dict[int, Tensor] = {}  # by storage; the tensors, since a storage's number is reused

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    try:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            _ = run()
    except (RuntimeError, NotImplementedError):
        return 0
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values() if tensor.is_meta)


def kept_by(forward: Callable[[], object], but: Iterable[Tensor] = ()) -> int:
    """Return how many bytes a forward pass with numbers keeps for the backward pass.

    Args:
        forward: What runs. Its result is kept until all is counted.
        but: Tensors that are there anyhow, such as weights.
    """
    owned = {tensor.untyped_storage().data_ptr() for tensor in but}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in owned:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        _result = forward()
    return sum(kept.values())


def memory_of(device: torch.device) -> int | None:
    """Return the bytes of memory of a device, or what limits this process; None if unknown."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    limits = [_limit_in(path) for path in _CGROUP_LIMITS]
    with suppress(AttributeError, OSError, ValueError):  # not on Windows
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min((limit for limit in limits if limit), default=None)


def _limit_in(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return int(text) if text.isdigit() else None


def _size(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:,.1f} TiB"
