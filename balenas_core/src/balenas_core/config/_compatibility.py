"""Whether the plugins of one configuration fit each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from balenas_core.config._problems import Path, Problem
from balenas_core.config._sections import PluginSection, find_plugin
from balenas_core.config._selector import RankingOptions
from balenas_core.config._stages import StagedOptions
from balenas_core.errors import PluginLoadError
from balenas_core.plugin import Plugin
from balenas_core.registry import Registry

if TYPE_CHECKING:
    from balenas_core.config._model import SearchConfig


@dataclass(frozen=True, slots=True)
class _Part:
    kind: str
    name: str
    path: Path
    plugin: Plugin


def incompatibilities(config: SearchConfig, registry: Registry) -> list[Problem]:
    """Return one problem for every pair of plugins of which one lacks what the other needs."""
    parts = list(_parts(config, registry))
    return [
        Problem(part.path, _message(part, partner, missing, registry))
        for part in parts
        for partner in parts
        if (missing := _missing(part.plugin, partner.plugin))
    ]


def _missing(plugin: Plugin, partner: Plugin) -> list[str]:
    needed = plugin.needs.get(partner.kind, ())
    return [capability for capability in needed if capability not in partner.provides]


def _parts(config: SearchConfig, registry: Registry) -> Iterator[_Part]:
    sections: list[tuple[str, PluginSection, Path]] = [
        ("space", config.space, ("space",)),
        ("optimizer", config.optimizer, ("optimizer",)),
        ("distribution", config.distribution, ("distribution",)),
        ("dataset", config.data, ("data",)),
        ("executor", config.executor, ("executor",)),
        *(("tracker", t, ("trackers", i)) for i, t in enumerate(config.trackers)),
    ]
    sections += [(kind, section, ("selector",)) for kind, section in _chooses(config.selector)]
    for kind, section, path in sections:
        _, plugin = find_plugin(kind, section.name, registry)
        yield _Part(kind, section.name, path, plugin)


def _chooses(selector: PluginSection) -> Iterator[tuple[str, PluginSection]]:
    """Yield the selector plugin, or every proxy and selector that an expression names."""
    if isinstance(selector.options, StagedOptions):
        for stage in selector.options.stages.values():
            yield from _chooses(stage)
    elif isinstance(selector.options, RankingOptions):
        for proxy in selector.options.proxies.values():
            yield "proxy", proxy
    else:
        yield "selector", selector


def _message(part: _Part, partner: _Part, missing: list[str], registry: Registry) -> str:
    needed = part.plugin.needs[partner.kind]
    fitting = _fitting(partner.kind, part.plugin, registry)
    remedy = (
        f"Use one of: {', '.join(fitting)}."
        if fitting
        else f"No installed {partner.kind} does; use another {part.kind}."
    )
    article = "an" if partner.kind[0] in "aeiou" else "a"
    return (
        f"{part.kind} {part.name!r} needs {article} {partner.kind} that provides "
        f"{_listed(needed)}; {partner.name!r} provides {_listed(partner.plugin.provides)}. {remedy}"
    )


def _fitting(kind: str, plugin: Plugin, registry: Registry) -> list[str]:
    names = []
    for ref in registry.refs(kind):
        try:
            candidate = ref.load()
        except PluginLoadError:
            continue  # what cannot be loaded is no remedy
        if not _missing(plugin, candidate):
            names.append(ref.name)
    return names


def _listed(capabilities: tuple[str, ...]) -> str:
    return " and ".join(map(repr, capabilities)) or "nothing"
