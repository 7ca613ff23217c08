"""Weights on disk, with the blueprint of their network beside them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from pydantic import ValidationError
from torch import Tensor, nn

from balenas_core.errors import DataError
from balenas_core.files import output_errors, write_atomically
from balenas_core.plugins.registry import Registry
from balenas_timm.weights._blueprint import Blueprint, first_problem
from balenas_timm.weights._size import check_size

WEIGHTS = "model.safetensors"
"""Name of the file that trainings and exports write, and that timm looks for."""

_KEY = "balenas"


def save_weights(path: Path, state: Mapping[str, Tensor], blueprint: Blueprint) -> None:
    """Write a network's weights and its blueprint as a safetensors file, atomically.

    Args:
        path: The file.
        state: ``state_dict()`` of the network that ``blueprint.build()`` returns.
        blueprint: What is needed to build it.

    Raises:
        OutputError: The file cannot be written.
    """
    # Tensors in channels-last layout, or that share memory, are refused by safetensors.
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    # One key alone: several come in no fixed order, and equal networks in unequal files.
    data = safetensors.torch.save(tensors, {_KEY: blueprint.model_dump_json(exclude_none=True)})
    with output_errors(path):
        write_atomically(path, lambda file: file.write(data))


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """Return the weights of a safetensors file, on the CPU.

    Raises:
        DataError: The file cannot be read.
    """
    with _file(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)


def read_blueprint(path: Path | str, registry: Registry | None = None) -> Blueprint:
    """Return what a file of ``save_weights`` says of its network.

    Raises:
        DataError: The file cannot be read, or says nothing; or its search space is not
            installed, or refuses the options; or its weights are not those of the network.
        ArchitectureError: The architecture is not of the space.
    """
    with _file(path) as file:
        metadata = file.metadata() or {}
        names = file.keys()
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
    if _KEY not in metadata:
        raise DataError(
            f"{path} has weights but does not say of which network. Build it yourself, and load "
            f"them with timm.models.load_checkpoint(model, {str(path)!r})."
        )
    try:
        blueprint = Blueprint.model_validate_json(metadata[_KEY], context={"registry": registry})
    except ValidationError as error:
        raise DataError(
            f"{path} describes no network that can be built here: {first_problem(error)}."
        ) from error
    check_size(blueprint, shapes, path, registry)
    return blueprint


def load_network(path: Path | str, registry: Registry | None = None) -> nn.Module:
    """Build the network of a file and load its weights, in evaluation mode.

    Returns:
        The search space's own network.

    Raises:
        DataError: The file cannot be read, or its weights are not those of its network.
        ConfigError: Its search space is not installed, or refuses the options.
    """
    network = read_blueprint(path, registry).build(registry)
    load_into(network, read_weights(path), path)
    return network.eval()


def load_into(network: nn.Module, state: Mapping[str, Tensor], path: Path | str) -> None:
    """Load weights into a network.

    Raises:
        DataError: They are not its own.
    """
    try:
        network.load_state_dict(dict(state))
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise DataError(
            f"{path} has weights of another network: {first} Was it made with other options?"
        ) from error


def _file(path: Path | str) -> safetensors.safe_open:
    try:
        return safetensors.safe_open(os.fspath(path), framework="pt")
    except FileNotFoundError as error:
        raise DataError(f"there is no file {path}.") from error
    except (safetensors.SafetensorError, OSError) as error:
        raise DataError(f"{path} is no safetensors file, or is damaged: {error}.") from error
