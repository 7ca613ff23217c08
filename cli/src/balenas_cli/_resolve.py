"""From a command's parameters to a validated configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balenas_cli._options import KEY_OF_FLAG
from balenas_core.errors import PluginLoadError
from balenas_core.registry import PluginRef, default_registry

if TYPE_CHECKING:
    from balenas_core.config import SearchConfig

_FLAG_NAMES = {key: f"--{name.replace('_', '-')}" for name, key in KEY_OF_FLAG.items()}


def resolve(
    path: Path | None,
    *,
    parameters: Mapping[str, Any] | None = None,
    overrides: Sequence[str] | None = None,
    preset: str | None = None,
) -> SearchConfig:
    """Read, merge and validate what a command was given.

    Args:
        path: Configuration file.
        parameters: Parameters of the command, of which those that stand for a key are taken.
        overrides: Arguments of ``--set``.
        preset: Name of the preset that lies below the file.

    Raises:
        ConfigError: The configuration is invalid.
        PluginNotFoundError: There is no such preset.
        PluginLoadError: A plugin or the preset cannot be loaded.
    """
    from balenas_core.config import load_config

    given = parameters or {}
    registry = default_registry()
    return load_config(
        path,
        flags={key: given.get(name) for name, key in KEY_OF_FLAG.items()},
        overrides=overrides or (),
        base={} if preset is None else load_preset(registry.find("preset", preset)),
        base_name=f"--preset {preset}",
        registry=registry,
        flag_names=_FLAG_NAMES,
    )


def load_preset(ref: PluginRef) -> Mapping[str, Any]:
    """Return the settings of a preset.

    Raises:
        PluginLoadError: It cannot be loaded, or is no mapping.
    """
    settings = ref.load_implementation()
    if not isinstance(settings, Mapping):
        raise PluginLoadError(
            f"preset {ref.name!r} (from {ref.distribution} {ref.version}) must be a mapping of "
            f"settings; got {type(settings).__name__}. {ref.remedy}"
        )
    return settings
