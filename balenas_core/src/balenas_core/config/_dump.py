"""Configurations as YAML text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from balenas_core.config._layers import SECTION_KINDS
from balenas_core.config._model import SearchConfig
from balenas_core.config._ranking import RankingOptions
from balenas_core.config._sections import PluginSection
from balenas_core.config._stages import StagedOptions
from balenas_core.config._yaml import dump_yaml
from balenas_core.plugins.registry import Registry


def to_yaml(config: SearchConfig, *, registry: Registry | None = None) -> str:
    """Return a configuration as YAML, every key with its value, in a fixed order.

    Reading the text back gives an equal configuration.

    Args:
        config: The configuration.
        registry: Gives plugins their long names, ``distribution:name``, by which the text means
            the same whatever else is installed when it is read; None for the names as they are.
    """
    values: dict[str, Any] = config.model_dump(mode="json")
    if registry is not None:
        for key, kind in SECTION_KINDS.items():
            values[key]["name"] = _long(kind, getattr(config, key), registry)
        for tracker, section in zip(values["trackers"], config.trackers, strict=True):
            tracker["name"] = _long("tracker", section, registry)
    return dump_yaml(values)


def plugins_of(config: SearchConfig) -> Iterator[tuple[str, str]]:
    """Yield kind and name of every plugin of a configuration."""
    for key, kind in SECTION_KINDS.items():
        yield from _plugins_in(kind, getattr(config, key))
    for section in config.trackers:
        yield "tracker", section.name


def _plugins_in(kind: str, section: PluginSection) -> Iterator[tuple[str, str]]:
    if isinstance(section.options, StagedOptions):
        for stage in section.options.stages.values():
            yield from _plugins_in(kind, stage)
    elif isinstance(section.options, RankingOptions):
        yield from (("proxy", name) for name in section.options.proxies)
    else:
        yield kind, section.name


def _long(kind: str, section: PluginSection, registry: Registry) -> str:
    if isinstance(section.options, StagedOptions):
        stages = section.options.stages.values()
        return " > ".join(_long(kind, stage, registry) for stage in stages)
    if isinstance(section.options, RankingOptions):
        proxies = section.options.proxies
        return "+".join(registry.find("proxy", name).stored_name for name in proxies)
    return registry.find(kind, section.name).stored_name
