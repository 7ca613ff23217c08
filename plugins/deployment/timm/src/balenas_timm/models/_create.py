"""From the keywords of ``timm.create_model`` to a model."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from timm.models import build_model_with_cfg, resolve_pretrained_cfg
from torch import nn

from balenas_core.config import PluginSection
from balenas_core.errors import UsageError
from balenas_core.interfaces.architecture import Architecture
from balenas_core.interfaces.space import Task
from balenas_core.nn import RegularizedNetwork, StagedNetwork
from balenas_core.plugins.registry import default_registry
from balenas_core.plugins.suggest import did_you_mean
from balenas_timm.models._model import NETWORK, FoundClassifier, FoundNetwork, with_prefix


def create_found(
    variant: str,
    space_name: str,
    *,
    genotype: str | Architecture | None = None,
    num_classes: int | None = None,
    in_chans: int | None = None,
    img_size: int | tuple[int, int] | None = None,
    global_pool: str = "avg",
    drop_rate: float | None = None,
    drop_path_rate: float = 0.0,
    inherited: bool = False,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    pretrained: bool = False,
    pretrained_cfg: str | dict[str, Any] | None = None,
    pretrained_cfg_overlay: dict[str, Any] | None = None,
    features_only: bool = False,
    out_indices: int | tuple[int, ...] | None = None,
    feature_cls: str | type[nn.Module] = "getter",
    **keywords: Any,
) -> nn.Module:
    """Build a network of a search space as a timm model.

    Args:
        variant: timm's name of the model.
        space_name: Name of the search space.
        genotype: The architecture, its text form, or a name that the space knows.
        num_classes: Number of classes; by default that of ``pretrained_cfg``.
        in_chans: Channels of an image; by default those of ``pretrained_cfg``.
        img_size: Height and width of an image; by default those of ``pretrained_cfg``.
        global_pool: timm's name of the pooling.
        drop_rate: Dropout before the classifier; None for the network's own.
        drop_path_rate: Chance that an operation is left out in training.
        inherited: Whether to build the form that the network has inside a supernet.
        device: Where the weights are made.
        dtype: Floating-point type of the weights.
        pretrained: Whether to load the weights that ``pretrained_cfg`` names.
        pretrained_cfg: timm's description of weights and images.
        pretrained_cfg_overlay: Changes of it.
        features_only: Whether to return the features of stages instead of logits.
        out_indices: Stages whose features are returned; by default all.
        feature_cls: timm's class, or name of a class, that returns them.
        **keywords: Options of the search space, and what timm's builder takes.

    Raises:
        TypeError: There is no such keyword.
        UsageError: There is no architecture, or it is not of the space, or an option is invalid.
        PluginError: The space cannot be loaded.
    """
    builder = {name: keywords.pop(name) for name in _BUILDER & keywords.keys()}
    _check_keywords(variant, space_name, keywords)
    section = full_sized(space_name, keywords)
    source = resolve_pretrained_cfg(variant, pretrained_cfg, pretrained_cfg_overlay)
    if in_chans is None:
        in_chans = source.input_size[0]
    if num_classes is None:
        num_classes = source.num_classes
    size = source.input_size[1:] if img_size is None else img_size
    height, width = (size, size) if isinstance(size, int) else size
    task = Task((in_chans, height, width), max(num_classes, 1))
    with torch.device(device) if device is not None else contextlib.nullcontext():
        network = _network(variant, section, genotype, task, is_inherited=inherited)
    network = network.to(dtype=dtype)
    _set_drop_path(network, variant, drop_path_rate)
    model = _model(
        network, task, num_classes=num_classes, global_pool=global_pool, drop_rate=drop_rate
    )
    return build_model_with_cfg(
        lambda **_: model,
        variant,
        pretrained,
        pretrained_cfg=asdict(source),
        pretrained_cfg_overlay=_description(model),
        feature_cfg={"feature_cls": feature_cls, "out_indices": _indices(model, out_indices)},
        pretrained_filter_fn=lambda state, _: with_prefix(state),
        num_classes=num_classes,
        in_chans=in_chans,
        img_size=img_size,
        features_only=features_only,
        **builder,
    )


_BUILDER = {"cache_dir", "pretrained_model_args", "pretrained_strict"}
"""Keywords that are for timm's builder, not for the space."""


def full_sized(space: str, options: Mapping[str, Any]) -> PluginSection:
    """Return a search space with options; without one, it is as in the paper's networks.

    Raises:
        ConfigError: An option is invalid.
        PluginError: The space cannot be loaded.
    """
    model = default_registry().find("space", space).load().options
    full_size = {} if model is None else model.full_size
    return PluginSection.resolve("space", {"name": space, **full_size, **options})


def _check_keywords(variant: str, space: str, options: Mapping[str, Any]) -> None:
    """Raise what Python raises, and timm's users expect, where a keyword is unknown."""
    model = default_registry().find("space", space).load().options
    known = {} if model is None else model.model_fields
    for name in options:
        if name not in known:
            raise TypeError(
                f"{variant} has no keyword {name!r}.{did_you_mean(name, known)} Options of its "
                f"search space: {', '.join(known) or 'none'}."
            )


def _network(
    variant: str,
    section: PluginSection,
    genotype: str | Architecture | None,
    task: Task,
    *,
    is_inherited: bool,
) -> nn.Module:
    if genotype is None:
        raise UsageError(
            f"which network? Give {variant} an architecture: timm.create_model({variant!r}, "
            f"genotype=...) with the text that a search prints."
        )
    space = default_registry().find("space", section.name).build(section.options)
    architecture = space.parse(genotype) if isinstance(genotype, str) else genotype
    network: nn.Module = (
        space.inherit(space.supernet(task), architecture)
        if is_inherited
        else space.network(architecture, task)
    )
    return network


def _set_drop_path(network: nn.Module, variant: str, rate: float) -> None:
    if isinstance(network, RegularizedNetwork):
        network.drop_path_prob = rate
    elif rate:
        raise UsageError(f"drop_path_rate={rate}: networks of {variant} have no drop path.")


def _model(
    network: nn.Module,
    task: Task,
    *,
    num_classes: int,
    global_pool: str,
    drop_rate: float | None,
) -> FoundNetwork | FoundClassifier:
    in_chans, height, width = task.input_shape
    if isinstance(network, StagedNetwork):
        return FoundNetwork(
            network,
            in_chans=in_chans,
            num_classes=num_classes,
            image_size=(height, width),
            global_pool=global_pool,
            drop_rate=drop_rate,
        )
    model = FoundClassifier(network, in_chans=in_chans, num_classes=num_classes)
    if num_classes == 0 or global_pool != "avg" or drop_rate:
        model.refuse()
    return model


def _description(model: FoundNetwork | FoundClassifier) -> dict[str, Any]:
    """Return what ``pretrained_cfg`` says of the model itself."""
    if isinstance(model, FoundClassifier):
        return {}
    stem = f"{NETWORK}.{model.network.block_names[0]}"
    convolutions = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d) and f"{name}.".startswith(f"{stem}.")
    ]
    return {
        "classifier": model.classifier_name,
        "first_conv": convolutions[0] if convolutions else None,
        "pool_size": model.pool_size,
    }


def _indices(
    model: FoundNetwork | FoundClassifier, wanted: int | tuple[int, ...] | None
) -> int | tuple[int, ...]:
    if wanted is not None or isinstance(model, FoundClassifier):
        return wanted or 1
    return tuple(range(len(model.feature_info)))
