"""Whether a file's weights are those of the network that it describes, before that is built.

A file can describe a network of a thousand million cells. So the network is built without
memory first, and no larger than what the file has weights for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import torch
from torch import nn
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from balenas_core.errors import DataError, TooLargeError
from balenas_core.plugins.registry import Registry
from balenas_timm.weights._blueprint import Blueprint

_FREE: Final = 10_000
_PARTS_A_TENSOR: Final = 100
"""Modules and parameters that a network may have for each tensor of the file; a supernet, of
which a network takes its part, has some ten times as many."""

Shapes = Mapping[str, tuple[int, ...]]


class _TooManyPartsError(Exception):
    """The network is larger than its weights."""


def check_size(
    blueprint: Blueprint, shapes: Shapes, path: Path | str, registry: Registry | None = None
) -> None:
    """Check that the tensors of a file are those of a blueprint's network.

    A network that cannot be built without memory is not checked.

    Args:
        blueprint: What the file says of its network.
        shapes: Name of each tensor in the file -> its shape.
        path: The file, for messages.
        registry: Where the space is looked up.

    Raises:
        DataError: They are not, or the network cannot be built.
        ArchitectureError: The architecture is not of the space.
        PluginError: The space is not installed, or cannot be built.
    """
    try:
        with (
            _at_most(_FREE + _PARTS_A_TENSOR * len(shapes)),
            torch.random.fork_rng(devices=()),
            torch.device("meta"),
        ):
            network = blueprint.build(registry)
    except _TooManyPartsError as error:
        raise DataError(
            f"{path} describes a network of more than {error} layers, and has {len(shapes)} "
            "tensors of weights; it was not written by balenas, or is damaged."
        ) from error
    except TooLargeError as error:
        raise DataError(f"{path} describes a network that has no room here: {error}") from error
    except (RuntimeError, OverflowError, MemoryError) as error:
        if isinstance(error, NotImplementedError) or "meta" in str(error):
            return  # it computes with weights while it is built
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} describes no network that can be built here: {reason}.") from error
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    difference = _difference(wanted, shapes)
    if difference is not None:
        raise DataError(
            f"{path} has weights of another network: {difference}. Was it made with other options?"
        )


def _difference(wanted: Shapes, there: Shapes) -> str | None:
    """Return the first way in which a file's tensors differ from a network's."""
    for name, shape in wanted.items():
        if name not in there:
            return f"it lacks {name}"
        if there[name] != shape:
            return f"{name} is {_shown(there[name])} there and {_shown(shape)} in the network"
    more = next((name for name in there if name not in wanted), None)
    return None if more is None else f"the network has no {more}"


def _shown(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "one number"


@contextmanager
def _at_most(parts: int) -> Iterator[None]:
    """Stop whatever builds more modules and parameters than this in the block."""
    count = 0

    def add(_module: nn.Module, _name: str, _part: object) -> None:
        nonlocal count
        count += 1
        if count > parts:
            raise _TooManyPartsError(parts)

    hooks = (
        register_module_module_registration_hook(add),
        register_module_parameter_registration_hook(add),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
