"""Entry points of timm's model registry: one for each search space."""

from __future__ import annotations

import functools
from collections.abc import Callable

from timm.models import is_model, register_model
from torch import nn

from balenas_core.data import CIFAR10_STATISTICS
from balenas_core.plugins.registry import Registry, default_registry, normalize
from balenas_timm.models._create import create_found

_MEAN, _STD = CIFAR10_STATISTICS

default_cfgs: dict[str, dict[str, object]] = {}
"""What timm assumes of images where nothing is said: those of CIFAR-10. timm looks it up here."""


def model_name(space: str) -> str:
    """Return timm's name of the networks of a search space.

    Example:
        >>> model_name("timm-stages")
        'balenas_timm_stages'
    """
    return f"balenas_{normalize(space.rpartition(':')[2])}"


def register_spaces(registry: Registry | None = None) -> list[str]:
    """Register the networks of every search space that timm does not know yet.

    No plugin is imported. Importing ``balenas_timm`` has done it for those that are installed;
    call it again for one made at run time.

    Returns:
        timm's names of those that are new.
    """
    added = []
    for ref in (registry or default_registry()).refs("space"):
        name = model_name(ref.name)
        if not ref.is_usable or is_model(name):
            continue
        default_cfgs[name] = {
            "input_size": (3, 32, 32),
            "num_classes": 10,
            "mean": _MEAN,
            "std": _STD,
            "crop_pct": 1.0,
        }
        register_model(_entrypoint(name, ref.name))
        added.append(name)
    return added


def _entrypoint(name: str, space: str) -> Callable[..., nn.Module]:
    function = functools.partial(create_found, name, space)

    def create(pretrained: bool = False, **keywords: object) -> nn.Module:
        return function(pretrained=pretrained, **keywords)  # type: ignore[arg-type]

    create.__name__ = create.__qualname__ = name
    create.__doc__ = f"Build a network of the search space {space!r}; see ``create_found``."
    return create
