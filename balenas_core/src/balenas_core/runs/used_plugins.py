"""The plugins that a run used, by distribution, version and code; whether they are the same."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from balenas_core.config import SearchConfig, plugins_of
from balenas_core.errors import PluginError
from balenas_core.plugins.code import code_of
from balenas_core.plugins.ref import RUN_TIME, PluginRef
from balenas_core.plugins.registry import Registry

_log = logging.getLogger(__name__)

Used = dict[str, str]
"""Kind, name, distribution, version and code of a plugin."""


def used_plugins(config: SearchConfig, registry: Registry) -> list[Used]:
    """Return the plugins of a configuration, and the hook plugins, as plain data."""
    named = [_used(registry.find(kind, name)) for kind, name in plugins_of(config)]
    hooks = [
        {
            "kind": "hook",
            "name": ref.name,
            "distribution": ref.distribution,
            "version": ref.version,
            "code": code_of(ref),
        }
        for ref in registry.hook_refs()
        if not ref.is_disabled and ref.fault is None
    ]
    return named + hooks


def used_plugin(kind: str, name: str, registry: Registry) -> Used:
    """Return one plugin as it is installed now.

    Raises:
        PluginError: It is not.
    """
    return _used(registry.find(kind, name))


def _used(ref: PluginRef) -> Used:
    try:
        implementation: object = ref.load().implementation
    except PluginError:
        implementation = None
    return {
        "kind": ref.kind,
        "name": ref.name,
        "distribution": ref.distribution,
        "version": ref.version,
        "code": code_of(ref, implementation),
    }


def changed_plugins(
    environment: Mapping[str, Any], registry: Registry, kinds: Iterable[str] | None = None
) -> list[str]:
    """Return a sentence for each plugin of a run that is missing now, or is another.

    Args:
        environment: What the run was started on; a run of an earlier version has no plugins there.
        registry: Where they are looked up.
        kinds: Kinds to look at; None for all.
    """
    found = []
    for used in environment.get("plugins", ()):
        if used["distribution"] == RUN_TIME or (kinds is not None and used["kind"] not in kinds):
            continue
        change = _change(used, registry)
        if change:
            found.append(change)
    return list(dict.fromkeys(found))


def _change(used: Mapping[str, str], registry: Registry) -> str:
    kind, distribution, version = used["kind"], used["distribution"], used["version"]
    what = f"{kind} {used['name']!r}"
    again = f"pip install '{distribution}=={version}' brings it back"
    now = _now(used, registry)
    if now is None:
        return f"{what} of {distribution} {version} is missing now; {again}"
    if now["version"] != version:
        return f"{what} was of {distribution} {version} and is of {now['version']} now; {again}"
    if now["code"] != used["code"] and used["code"]:
        return (
            f"{what} of {distribution} {version} has other code now "
            f"(hash {used['code'][:8]} then, {now['code'][:8] or 'none'} now)"
        )
    return ""


def _now(used: Mapping[str, str], registry: Registry) -> Used | None:
    name = f"{used['distribution']}:{used['name']}"
    if used["kind"] == "hook":
        hooks = [r for r in registry.hook_refs() if r.qualified_name == name and not r.is_disabled]
        if not hooks:
            return None
        return {"version": hooks[0].version, "code": code_of(hooks[0])}
    try:
        ref = registry.find(used["kind"], name)
    except PluginError:
        return None
    return _used(ref) if ref.is_usable else None


def warn_of_other_plugins(
    environment: Mapping[str, Any], registry: Registry, kinds: Iterable[str] | None = None
) -> None:
    """Say which plugins of a run are missing now, or are others: it may end in another result."""
    for change in changed_plugins(environment, registry, kinds):
        _log.warning("this run was made with other plugins: %s", change)
