"""A model from a file alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
from torch import nn

from balenas_timm.models._entrypoints import model_name, register_spaces
from balenas_timm.models._model import with_prefix
from balenas_timm.weights import Blueprint, load_into, read_blueprint, read_weights


def load(path: Path | str) -> nn.Module:
    """Return the timm model of a safetensors file that ``balenas`` wrote, in evaluation mode.

    Args:
        path: The file, of ``balenas train`` or ``balenas export --format safetensors``.

    Raises:
        DataError: The file cannot be read, or its weights are not those of its network.
        ConfigError: Its search space is not installed, or refuses the options.
    """
    model = create(read_blueprint(path))
    load_into(model, with_prefix(read_weights(path)), path)
    return model.eval()


def create(blueprint: Blueprint) -> nn.Module:
    """Return the timm model of a blueprint, with fresh weights.

    Raises:
        PluginError: The space is not installed, or cannot be built.
        ArchitectureError: The architecture is not of the space.
    """
    register_spaces()
    name = model_name(blueprint.space.name)
    model: nn.Module = timm.create_model(
        name, pretrained_cfg=pretrained_cfg(blueprint), **model_args(blueprint)
    )
    return model


def model_args(blueprint: Blueprint) -> dict[str, Any]:
    """Return the keywords of ``timm.create_model`` that make a blueprint's network."""
    arguments = blueprint.space.model_dump(mode="json", exclude_none=True)
    del arguments["name"]
    arguments["genotype"] = blueprint.architecture
    if blueprint.is_inherited:
        arguments["inherited"] = True
    return arguments


def pretrained_cfg(blueprint: Blueprint) -> dict[str, Any]:
    """Return timm's description of the images that a blueprint's network is for."""
    described: dict[str, Any] = {
        "architecture": model_name(blueprint.space.name),
        "input_size": blueprint.input_shape,
        "num_classes": blueprint.num_classes,
        "crop_pct": blueprint.crop,
        "interpolation": "bilinear",
    }
    if blueprint.normalization is not None:
        described |= blueprint.normalization.model_dump()
    if blueprint.class_names is not None:
        described["label_names"] = blueprint.class_names
    return described
