"""Plugins from a file or a project that is not installed, for trying them out."""

from __future__ import annotations

import importlib
import sys
import tomllib
from pathlib import Path
from typing import Any

from balenas_core.errors import PluginLoadError, UsageError
from balenas_core.plugins.foreign import foreign_code
from balenas_core.plugins.plugin import GROUPS, HOOKS_GROUP, Plugin
from balenas_core.plugins.registry import Registry

_DECLARED_AS = "plugin"
"""A module's only declaration may be called so: then the file's name is the plugin's."""


def add_from_path(registry: Registry, path: Path) -> list[tuple[str, str]]:
    """Register the plugins of a Python file, or of a project that is not installed.

    Of a file, every ``Plugin`` in it counts, by the name of its variable; one that is called
    ``plugin`` has the name of the file. So do hooks. Of a project, what its ``pyproject.toml``
    declares as entry points.

    Args:
        registry: Where they are added.
        path: A file ``NAME.py``, or a folder with a ``pyproject.toml``.

    Returns:
        Kind and name of each, ``hook`` being a kind.

    Raises:
        UsageError: There is no such file, or no plugin in it.
        PluginLoadError: It cannot be imported, or what it declares is no plugin.
    """
    if path.is_dir():
        found = _of_project(path)
    elif path.suffix == ".py" and path.is_file():
        found = _of_module(_import(path.stem, path.parent, path))
    else:
        raise UsageError(
            f"{path} is no plugin: give a Python file, or a folder with a pyproject.toml."
        )
    if not found:
        raise UsageError(
            f"there is no plugin in {path}. Write a balenas_core.Plugin into it, as in "
            f"'plugin = Plugin(kind=\"proxy\", ...)', or functions marked with hookimpl."
        )
    for kind, name, plugin in found:
        if kind == "hook":
            registry.hooks.register(plugin, name=name)
        else:
            registry.add(name, plugin)
    return [(kind, name) for kind, name, _ in found]


def _of_module(module: Any) -> list[tuple[str, str, Any]]:
    declared = {key: value for key, value in vars(module).items() if isinstance(value, Plugin)}
    found = [
        (plugin.kind, module.__name__ if key == _DECLARED_AS else key, plugin)
        for key, plugin in declared.items()
    ]
    return [*found, *([("hook", module.__name__, module)] if _has_hooks(module) else [])]


def _has_hooks(module: Any) -> bool:
    return any(hasattr(value, "balenas_impl") for value in vars(module).values())


def _of_project(folder: Path) -> list[tuple[str, str, Any]]:
    file = folder / "pyproject.toml"
    if not file.is_file():
        raise UsageError(f"{folder} has no pyproject.toml; give a plugin's project, or its file.")
    try:
        declared = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}.") from error
    groups = declared.get("project", {}).get("entry-points", {})
    source = folder / "src" if (folder / "src").is_dir() else folder
    kinds = {group: kind for kind, group in GROUPS.items()} | {HOOKS_GROUP: "hook"}
    return [
        (kinds[group], name, _resolved(target, source, file))
        for group, names in groups.items()
        if group in kinds
        for name, target in names.items()
    ]


def _resolved(target: str, source: Path, file: Path) -> Any:
    module, _, attribute = target.partition(":")
    found = _import(module, source, file)
    for part in filter(None, attribute.split(".")):
        if not hasattr(found, part):
            raise PluginLoadError(f"{file} names {target}, but {module} has no {attribute!r}.")
        found = getattr(found, part)
    return found


def _import(name: str, folder: Path, shown: Path) -> Any:
    """Import a module of a folder, which stays on the path: the implementation is there too."""
    place = str(folder.resolve())
    if place not in sys.path:
        sys.path.insert(0, place)
    try:
        with foreign_code(str(shown), "while it was imported"):
            return importlib.import_module(name)
    except Exception as error:
        raise PluginLoadError(
            f"{shown} cannot be imported: {type(error).__name__}: {error}. Correct it."
        ) from error
