"""The selector's section: one stage, or several."""

from __future__ import annotations

from typing import Any

from balenas_core.config._expression import parse_stages
from balenas_core.config._problems import Problem, fail
from balenas_core.config._ranking import RankingOptions, resolve_stage
from balenas_core.config._sections import PluginSection, resolve_section, split_name
from balenas_core.config._stages import StagedOptions, resolve_stages
from balenas_core.plugins.registry import Registry

DEFAULT_SELECTOR = "argmax"
AUTO_SELECTOR = "auto"
"""Stands for the selector that the space recommends."""


def resolve_selector(value: Any, registry: Registry) -> PluginSection:
    """Return the section of a selector plugin, of a ranking by proxies or of stages.

    A name that is both a selector and a proxy means the selector.

    Raises:
        ValidationError: With packed problems.
    """
    if isinstance(value, PluginSection):
        return _checked(value, registry)
    text, options = split_name("selector", value, registry, default=DEFAULT_SELECTOR)
    try:
        stages = parse_stages(text)
    except ValueError as error:
        fail([Problem(("name",), str(error))])
    if len(stages) > 1:
        return resolve_stages(stages, options, registry)
    return resolve_stage(stages[0], options, registry)


def _checked(section: PluginSection, registry: Registry) -> PluginSection:
    if isinstance(section.options, StagedOptions):
        for stage in section.options.stages.values():
            _checked(stage, registry)
        return section
    if not isinstance(section.options, RankingOptions):
        return resolve_section("selector", section, registry)
    for proxy in section.options.proxies.values():
        resolve_section("proxy", proxy, registry)
    return section
