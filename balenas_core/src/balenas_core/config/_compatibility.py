"""Whether the plugins of one configuration fit each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from balenas_core.config._problems import Path, Problem
from balenas_core.config._ranking import RankingOptions
from balenas_core.config._sections import PluginSection, find_plugin
from balenas_core.config._stages import StagedOptions
from balenas_core.errors import PluginLoadError
from balenas_core.plugins.checking import loadable
from balenas_core.plugins.plugin import Plugin
from balenas_core.plugins.registry import Registry


@dataclass(frozen=True, slots=True)
class _Part:
    kind: str
    name: str
    path: Path
    plugin: Plugin


def incompatibilities(
    sections: Iterable[tuple[str, PluginSection, Path]], registry: Registry
) -> list[Problem]:
    """Return one problem for every pair of plugins of which one lacks what the other needs.

    And one for every option that those of another plugin rule out.

    Args:
        sections: Kind of plugin, section and its place in the configuration.
        registry: Where the plugins are looked up.
    """
    sections = list(sections)
    parts = list(_parts(sections, registry))
    return [
        *_conflicts(sections),
        *(
            Problem(part.path, _message(part, partner, missing, registry))
            for part in parts
            for partner in parts
            if (missing := _missing(part.plugin, partner.plugin))
        ),
    ]


def lacking(
    kind: str, section: PluginSection, capability: str, asker: str, path: Path, registry: Registry
) -> list[Problem]:
    """Return a problem if a plugin does not provide what a setting needs.

    Args:
        kind: Kind of the plugin.
        section: Its section.
        capability: What it must provide.
        asker: What needs it, for the message.
        path: Place of what needs it.
        registry: Where plugins are looked up.
    """
    _, plugin = find_plugin(kind, section.name, registry)
    if capability in plugin.provides:
        return []
    fitting = _providing(kind, (capability,), registry)
    remedy = f"Use one of: {', '.join(fitting)}." if fitting else "No installed one does."
    return [Problem(path, f"{asker} needs a {kind} that provides {capability!r}; {section.name!r} "
                          f"provides {_listed(plugin.provides)}. {remedy}")]  # fmt: skip


def _conflicts(sections: Sequence[tuple[str, PluginSection, Path]]) -> Iterator[Problem]:
    """Yield a problem for each option that those of another plugin rule out."""
    options = {kind: s.options for kind, s, _ in sections if s.options is not None}
    paths = {kind: path for kind, _, path in sections}
    for own in options.values():
        for conflict in own.conflicts(options):
            yield Problem((*paths[conflict.kind], conflict.option), conflict.message)


def _missing(plugin: Plugin, partner: Plugin) -> list[str]:
    needed = plugin.needs.get(partner.kind, ())
    return [capability for capability in needed if capability not in partner.provides]


def _parts(
    sections: Iterable[tuple[str, PluginSection, Path]], registry: Registry
) -> Iterator[_Part]:
    for kind, section, path in sections:
        for one_kind, one in _plugins_of(kind, section):
            _, plugin = find_plugin(one_kind, one.name, registry)
            yield _Part(one_kind, one.name, path, plugin)


def _plugins_of(kind: str, section: PluginSection) -> Iterator[tuple[str, PluginSection]]:
    """Yield the plugin of a section, or every one that a selector's expression names."""
    if isinstance(section.options, StagedOptions):
        for stage in section.options.stages.values():
            yield from _plugins_of(kind, stage)
    elif isinstance(section.options, RankingOptions):
        for proxy in section.options.proxies.values():
            yield "proxy", proxy
    else:
        yield kind, section


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
    return _providing(kind, plugin.needs.get(kind, ()), registry)


def _providing(kind: str, capabilities: tuple[str, ...], registry: Registry) -> list[str]:
    names = []
    for ref in loadable(registry.refs(kind)):
        try:
            candidate = ref.load()
        except PluginLoadError:
            continue  # what cannot be loaded is no remedy
        if set(capabilities) <= set(candidate.provides):
            names.append(ref.name)
    return names


def _listed(capabilities: tuple[str, ...]) -> str:
    return " and ".join(map(repr, capabilities)) or "nothing"
