"""From a command's parameters to a validated configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balenas_cli.plans.data_place import place_option
from balenas_cli.plans.workers import worker_flags
from balenas_cli.shell.options import KEY_OF_FLAG
from balenas_core.errors import UsageError
from balenas_core.plugins.from_path import add_from_path
from balenas_core.plugins.registry import default_registry

if TYPE_CHECKING:
    from balenas_core.config import SearchConfig

_DATA_ROOT, _JOBS = "data_root", "jobs"
FLAG_NAMES = {key: f"--{name.replace('_', '-')}" for name, key in KEY_OF_FLAG.items()}
FLAG_NAMES["data.path"] = "--data-root"
FLAG_NAMES["executor.workers"] = "--jobs"


def add_plugins(files: Sequence[Path] | None) -> None:
    """Let this process use the plugins of files and projects that are not installed.

    Raises:
        UsageError: One is missing, or has no plugin in it.
        PluginLoadError: One cannot be imported.
    """
    for file in files or ():
        add_from_path(default_registry(), file)


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
        ConfigError: The configuration is invalid, or its dataset has no place for --data-root.
        PluginNotFoundError: There is no such preset.
        PluginLoadError: A plugin or the preset cannot be loaded.
    """
    from balenas_core.config import load_config

    given = parameters or {}
    registry = default_registry()
    base = settings_of_preset(preset, path, overrides or ())
    keys = dict(KEY_OF_FLAG)
    if given.get(_DATA_ROOT) is not None:
        dataset = dataset_name(path, given.get("data"), overrides or (), base)
        keys[_DATA_ROOT] = f"data.{place_option(dataset)}"
    flags = {key: given.get(name) for name, key in keys.items()}
    if given.get(_JOBS) is not None:
        flag = given.get("executor")
        named = _named("executor", path, flag, overrides or (), base)
        flags |= worker_flags(named, flag, given[_JOBS])
    return load_config(
        path,
        flags=flags,
        overrides=overrides or (),
        base=base,
        base_name=f"--preset {preset}",
        registry=registry,
        flag_names=FLAG_NAMES,
    )


def resolve_run(run: Path, **given: Any) -> SearchConfig:
    """Read, merge and validate the configuration of a run; takes what ``resolve`` takes.

    Raises:
        ConfigError: As ``resolve``; which plugins are missing now was said before.
    """
    from balenas_core.runs.directory import CONFIG
    from balenas_core.runs.listing import read_run
    from balenas_core.runs.used_plugins import warn_of_other_plugins

    try:
        return resolve(run / CONFIG, **given)
    except UsageError:
        warn_of_other_plugins(read_run(run).environment, default_registry())
        raise


def dataset_name(
    path: Path | None, flag: str | None, overrides: Sequence[str], base: Mapping[str, Any]
) -> str:
    """Return the name of the dataset that the settings will have."""
    from balenas_core.config import DEFAULT_DATASET

    return _named("data", path, flag, overrides, base) or DEFAULT_DATASET


def _named(
    key: str,
    path: Path | None,
    flag: str | None,
    overrides: Sequence[str],
    base: Mapping[str, Any],
) -> str | None:
    """Return the plugin that the settings will name, the highest level first; None for none."""
    from balenas_core.config import read_document

    settings = (text.partition("=") for text in reversed(overrides))
    by_set = (_value(text) for k, _, text in settings if k.strip() in (key, f"{key}.name"))
    file = {} if path is None else read_document(path).data
    sections = (next(by_set, None), flag, file.get(key), base.get(key))
    names = (s.get("name") if isinstance(s, Mapping) else s for s in sections)
    return next((name for name in names if isinstance(name, str)), None)


def _value(text: str) -> Any:
    from balenas_core.config import DocumentError, parse_yaml

    try:
        return parse_yaml(text).data
    except DocumentError:  # reading the configuration says so
        return None


def settings_of_preset(
    name: str | None, path: Path | None, overrides: Sequence[str]
) -> Mapping[str, Any]:
    """Return the settings of a preset; none where there is no name.

    What the file or ``--set`` allows to be imported holds for the preset, too.

    Raises:
        PluginNotFoundError: There is no such preset.
        PluginLoadError: It cannot be loaded, or may not be imported.
    """
    if name is None:
        return {}
    from balenas_core.config import PluginsConfig

    registry = default_registry()
    allowed = _allowed(path, overrides)
    if allowed is not None:
        registry = PluginsConfig(allow=allowed).restricted(registry)
    settings: Mapping[str, Any] = registry.find("preset", name).load_value()
    return settings


def _allowed(path: Path | None, overrides: Sequence[str]) -> tuple[str, ...] | None:
    """Return the list of ``plugins.allow``; None for none, or where it is no list of names."""
    from balenas_core.config import read_document

    section = None if path is None else read_document(path).data.get("plugins")
    found = section.get("allow") if isinstance(section, Mapping) else None
    for text in overrides:
        key, _, value = text.partition("=")
        if key.strip() == "plugins":
            given = _value(value)
            found = given.get("allow") if isinstance(given, Mapping) else None
        elif key.strip() == "plugins.allow":
            found = _value(value)
    # What is no list is refused where the configuration is read.
    if not isinstance(found, list | tuple) or not all(isinstance(n, str) and n for n in found):
        return None
    return tuple(found)
