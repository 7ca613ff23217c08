"""What ``balenas plugins info`` tells of one plugin."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

from balenas_cli.tables.option_rows import option_rows
from balenas_cli.tables.plugin_rows import KINDS, check_kind
from balenas_core.errors import PluginNotFoundError, told
from balenas_core.plugins.checking import HOOK
from balenas_core.plugins.names import names_the_same
from balenas_core.plugins.plugin import GROUPS, Plugin
from balenas_core.plugins.registry import HookRef, PluginRef, Registry
from balenas_core.plugins.suggest import did_you_mean

if TYPE_CHECKING:
    from rich.console import RenderableType

_OF_SETTINGS = ("preset", "recipe")


def find_refs(registry: Registry, kind: str | None, name: str) -> list[PluginRef | HookRef]:
    """Return the plugin of this kind and name, or those of every kind that have the name.

    Raises:
        PluginNotFoundError: There is none.
        UsageError: ``kind`` is not a kind.
    """
    check_kind(kind)
    hooks = [ref for ref in registry.hook_refs() if names_the_same(name, ref.qualified_name)]
    if kind not in (None, HOOK):
        return [registry.find(str(kind), name)]
    found: list[PluginRef | HookRef] = []
    if kind is None:
        found += [registry.find(one, name) for one in GROUPS if registry.has(one, name)]
    if found or hooks:
        return [*found, *hooks]
    refs: list[PluginRef | HookRef] = [*registry.refs(), *registry.hook_refs()]
    names = sorted({ref.name for ref in refs if ref.fault is None})
    hint = did_you_mean(name, names)
    if name in KINDS:
        hint = f" It is a kind; 'balenas plugins list --kind {name}' lists its plugins."
    raise PluginNotFoundError(f"no plugin called {name!r}.{hint} Installed: {', '.join(names)}.")


def describe(ref: PluginRef | HookRef, registry: Registry) -> dict[str, Any]:
    """Return everything that is known of a plugin, as plain data.

    Raises:
        PluginLoadError: Its light module cannot be imported.
    """
    if isinstance(ref, HookRef):
        return _hook(ref, registry)
    plugin = ref.load()
    runs = status_lines(ref, plugin)
    return {
        "kind": ref.kind,
        "name": ref.name,
        "summary": plugin.summary,
        "distribution": ref.distribution,
        "version": ref.version,
        "target": ref.target,
        "implementation": _implementation(plugin),
        "homepage": _homepage(ref.distribution),
        "provides": list(plugin.provides),
        "needs": {kind: list(names) for kind, names in plugin.needs.items()},
        "defaults": dict(plugin.defaults),
        "recommends": {
            kind: value if isinstance(value, str) else dict(value)
            for kind, value in plugin.recommends.items()
        },
        "status": runs,
        "options": option_rows(plugin.options),
        "settings": dict(ref.load_value()) if ref.kind in _OF_SETTINGS else None,
    }


def _hook(ref: HookRef, registry: Registry) -> dict[str, Any]:
    """Return what is known of a hook plugin, with the hooks that it implements."""
    failures = [f for f in registry.hooks.failures if (f.distribution, f.name) == _key(ref)]
    if ref.barred is not None:
        summary = ref.barred
    elif failures:
        summary = f"switched off: it failed {failures[0].reason}. {failures[0].remedy}"
    else:
        summary = "watches searches, or registers components"
    return {
        "kind": HOOK,
        "name": ref.name,
        "summary": summary,
        "distribution": ref.distribution,
        "version": ref.version,
        "target": ref.target,
        "implementation": ref.target,
        "homepage": _homepage(ref.distribution),
        "provides": list(registry.hooks.implemented(ref.qualified_name)),
        "needs": {},
        "defaults": {},
        "recommends": {},
        "status": {},
        "options": [],
        "settings": None,
    }


def _key(ref: HookRef) -> tuple[str, str]:
    return ref.distribution, ref.name


def status_lines(ref: PluginRef, plugin: Plugin) -> dict[str, str]:
    """Return what a plugin says about how it runs here; never raises."""
    try:
        with ref.called("while it told its status"):
            return plugin.load_status()
    except Exception as error:
        return {"": f"its status is unknown: {told(error)}"}


def _implementation(plugin: Plugin) -> str:
    if isinstance(plugin.implementation, str):
        return plugin.implementation
    return type(plugin.implementation).__name__


def _homepage(distribution: str) -> str | None:
    try:
        found = metadata.metadata(distribution)
    except (metadata.PackageNotFoundError, ValueError, OSError):
        return None
    urls: dict[str, str] = {}
    for line in found.get_all("Project-URL") or ():
        key, _, url = line.partition(",")
        urls[key.strip().lower()] = url.strip()
    # The keys are free text; these are the usual ones.
    keys = ("homepage", "home", "documentation", "repository", "source")
    home = [urls[key] for key in keys if urls.get(key)]
    return (home or found.get_all("Home-page") or [None])[0]


def render(facts: dict[str, Any]) -> RenderableType:
    """Return the facts as text for a terminal."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    for key, value in _lines(facts):
        grid.add_row(Text(key, style="dim"), Text(value))
    parts: list[RenderableType] = [
        Text.assemble((f"{facts['kind']} {facts['name']}", "bold"), f": {facts['summary']}"),
        grid,
    ]
    if facts["settings"]:
        import yaml

        parts += [Text(), Text(yaml.safe_dump(facts["settings"], sort_keys=False).rstrip())]
    if facts["options"]:
        from balenas_cli.shell.console import table

        options = table("option", "type", "default", "description")
        for row in facts["options"]:
            default = "(required)" if row["required"] else row["default"]
            options.add_row(
                *(Text(str(x)) for x in (row["name"], row["type"], default, row["description"]))
            )
        parts += [Text(), options]
    return Group(*parts)


def _named(recommended: str | Mapping[str, Any]) -> str:
    """Return a recommendation as text, with the options that it sets."""
    if isinstance(recommended, str):
        return recommended
    options = ", ".join(f"{k}: {v}" for k, v in recommended.items() if k != "name")
    return f"{recommended['name']} ({options})"


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [
        ("distribution", f"{facts['distribution']} {facts['version']}"),
        ("implementation", facts["implementation"]),
        ("homepage", facts["homepage"] or ""),
        ("provides", ", ".join(facts["provides"])),
        ("needs", "; ".join(f"{k} with {', '.join(v)}" for k, v in facts["needs"].items())),
        ("by default with", ", ".join(f"{k} {v}" for k, v in facts["defaults"].items())),
        ("recommends", ", ".join(f"{k} {_named(v)}" for k, v in facts["recommends"].items())),
        *((f"status {key}".strip(), value) for key, value in facts["status"].items()),
    ]
    return [(key, value) for key, value in lines if value]
