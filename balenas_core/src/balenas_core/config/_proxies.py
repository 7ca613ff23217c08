"""Proxies by themselves, where no selector is asked for."""

from __future__ import annotations

from balenas_core.config._expression import parse_selector, parse_stages
from balenas_core.config._problems import Problem, fail
from balenas_core.config._ranking import resolve_ranking
from balenas_core.config._sections import PluginSection, find_plugin
from balenas_core.plugins.registry import Registry

AUTO_PROXIES = "auto"
"""Stands for the proxies of the selector that the space recommends."""


def resolve_proxies(text: str, registry: Registry) -> PluginSection:
    """Return the ranking by the proxies of an expression, each with its own defaults.

    Raises:
        ValidationError: With packed problems.
    """
    try:
        names = parse_selector(text)
    except ValueError as error:
        fail([Problem((), str(error))])
    for name in names:
        if registry.has("selector", name) and not registry.has("proxy", name):
            proxies = sorted(ref.name for ref in registry.refs("proxy") if not ref.is_disabled)
            fail([Problem((), f"{name!r} is a selector, and proxies are needed. "
                              f"Proxies: {', '.join(proxies) or 'none'}.")])  # fmt: skip
    return resolve_ranking(names, registry)


def recommended_proxies(space: PluginSection, registry: Registry) -> str:
    """Return the proxies that a space recommends, or the first stage of them in its selector.

    Raises:
        ValidationError: With a packed problem; it recommends none.
    """
    _, plugin = find_plugin("space", space.name, registry)
    proxies = plugin.recommends.get("proxy")
    if isinstance(proxies, str):
        return proxies
    recommended = plugin.recommends.get("selector", "")
    text = recommended if isinstance(recommended, str) else str(recommended.get("name", ""))
    for names in parse_stages(text) if text else ():
        if all(registry.has("proxy", name) for name in names):
            return "+".join(names)
    fail([Problem((), f"space {space.name!r} recommends no proxies; name some, such as synflow, or "
                      f"leave the prior out: modifiers.informed_prior=null")])  # fmt: skip
