"""A commented configuration file with every key, for ``balenas config init``."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from balenas_core.config._layers import SECTION_KINDS
from balenas_core.config._load import load_config, load_settings
from balenas_core.config._model import SearchConfig
from balenas_core.config._ranking import RankingOptions
from balenas_core.config._sections import PluginSection
from balenas_core.config._stages import StagedOptions
from balenas_core.config._yaml import dump_yaml
from balenas_core.errors import BalenasError, PluginLoadError
from balenas_core.plugins.checking import loadable
from balenas_core.plugins.registry import Registry, default_registry

_WIDTH = 96
_INDENT = "  "
_HEADER = """\
Configuration of an architecture search: every key, with its default. Run it with
'balenas search FILE'; a key that is left out keeps its default.
"""


def example_yaml(
    sections: Mapping[str, Any] | SearchConfig | None = None, *, registry: Registry | None = None
) -> str:
    """Return a configuration as YAML in which every key is explained.

    Reading the text back gives an equal configuration.

    Args:
        sections: Names or mappings of plugins, and any other settings; or a configuration. The
            first installed space and optimizer are taken where it names none.
        registry: Where plugins are looked up; the process's own by default.

    Raises:
        ConfigError: The settings are invalid, or a plugin has an option without a default that
            they do not give.
    """
    registry = registry or default_registry()
    if isinstance(sections, SearchConfig):
        config = sections
    else:
        first = {kind: _first_usable(kind, registry) for kind in ("space", "optimizer")}
        named = {kind: name for kind, name in first.items() if name is not None}
        config = load_config(base={**named, **(sections or {})}, base_name="", registry=registry)
    values = config.model_dump(mode="json")
    lines = [*_comment(_HEADER)]
    for key, field in SearchConfig.model_fields.items():
        lines += ["", *_comment(_explanation(field))]
        value = getattr(config, key)
        if isinstance(value, PluginSection):
            lines += _section(key, value, values[key], registry)
        elif isinstance(value, BaseModel):
            lines += [f"{key}:", *_mapping(type(value), values[key])]
        else:
            lines += _entry(key, values[key])
    return "\n".join(lines) + "\n"


def example_settings_problem(
    label: str,
    settings: Mapping[str, Any],
    *,
    model: type[BaseModel] = SearchConfig,
    others: Mapping[str, Any] | None = None,
    registry: Registry | None = None,
) -> str | None:
    """Return what is wrong with a part of a configuration, whichever space it is used with.

    Args:
        label: How the problem names the part.
        settings: The part.
        model: What the configuration is of; a search by default.
        others: What it needs beside a space; of a search by default, an optimizer.
        registry: Where plugins are looked up; the process's own by default.

    Returns:
        The first problem; None where a space goes with it, or none is installed.
    """
    registry = registry or default_registry()
    problem: str | None = None
    if others is None:
        others = {"optimizer": _first_usable("optimizer", registry)}
    for space in [ref.name for ref in loadable(registry.refs("space"))]:
        base = {"space": space, **others}
        try:
            load_settings(model, bases=(("", base), (label, settings)), registry=registry)
        except BalenasError as error:
            problem = problem or str(error).splitlines()[0]
        else:
            return None
    return problem


def _first_usable(kind: str, registry: Registry) -> str | None:
    for ref in loadable(registry.refs(kind)):
        try:
            ref.load()
        except PluginLoadError:
            continue
        return ref.name
    return None


def _section(
    key: str, section: PluginSection, values: dict[str, Any], registry: Registry
) -> Iterator[str]:
    kind = SECTION_KINDS[key]
    names = [ref.name for ref in registry.refs(kind)]
    yield from _comment(f"Installed: {', '.join(names) or 'none'}.")
    if kind == "selector":
        proxies = [ref.name for ref in registry.refs("proxy")]
        yield from _comment(f"Proxies installed: {', '.join(proxies) or 'none'}.")
    if section.options is None or not values.keys() - {"name"}:
        yield from _entry(key, section.name)
        return
    yield f"{key}:"
    if isinstance(section.options, RankingOptions | StagedOptions):
        yield from _entry("name", section.name, _INDENT)
        expression = _stages if isinstance(section.options, StagedOptions) else _ranking
        yield from expression(section.options, values, registry, _INDENT)
        return
    yield from _comment(registry.find(kind, section.name).load().summary, _INDENT)
    yield from _entry("name", section.name, _INDENT)
    yield from _mapping(type(section.options), values)


def _ranking(
    options: Any, values: Mapping[str, Any], registry: Registry, indent: str
) -> Iterator[str]:
    yield from _mapping(RankingOptions, _except(values, "proxies"), indent)
    yield from _comment(_explanation(RankingOptions.model_fields["proxies"]), indent)
    yield f"{indent}proxies:"
    for name, section in options.proxies.items():
        yield from _part("proxy", name, section, values["proxies"][name], registry, indent)


def _stages(
    options: Any, values: Mapping[str, Any], registry: Registry, indent: str
) -> Iterator[str]:
    yield from _mapping(StagedOptions, _except(values, "stages"), indent)
    yield from _comment(_explanation(StagedOptions.model_fields["stages"]), indent)
    yield f"{indent}stages:"
    for name, section in options.stages.items():
        inner = values["stages"][name]
        if isinstance(section.options, RankingOptions):
            yield from _entry_head(name, indent + _INDENT)
            yield from _ranking(section.options, inner, registry, indent + 2 * _INDENT)
        else:
            yield from _part("selector", name, section, inner, registry, indent)


def _part(
    kind: str,
    name: str,
    section: PluginSection,
    values: Mapping[str, Any],
    registry: Registry,
    indent: str,
) -> Iterator[str]:
    yield from _comment(registry.find(kind, section.name).load().summary, indent + _INDENT)
    if section.options is None or not values:
        yield from _entry(name, {}, indent + _INDENT)
        return
    yield from _entry_head(name, indent + _INDENT)
    yield from _mapping(type(section.options), values, indent + 2 * _INDENT)


def _except(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in (key, "name")}


def _mapping(
    model: type[BaseModel], values: Mapping[str, Any], indent: str = _INDENT
) -> Iterator[str]:
    for name, field in model.model_fields.items():
        key = field.alias or name
        if key in values:
            yield from _comment(_explanation(field), indent)
            yield from _entry(key, values[key], indent)


def _explanation(field: FieldInfo) -> str:
    """Return a field's description and, where they are few words, its choices."""
    text = (field.description or "").strip()
    if text and text[-1] not in ".:;!?":
        text += "."
    if get_origin(field.annotation) is Literal:
        text += f" One of: {', '.join(map(str, get_args(field.annotation)))}."
    first, _, _ = text.partition(" ")
    return text[:1].upper() + text[1:] if first.isalpha() else text


def _comment(text: str, indent: str = "") -> Iterator[str]:
    for line in textwrap.wrap(text, _WIDTH - len(indent) - 2, break_long_words=False):
        yield f"{indent}# {line}"


def _entry(key: str, value: Any, indent: str = "") -> Iterator[str]:
    for line in dump_yaml({key: value}).splitlines():
        yield f"{indent}{line}"


def _entry_head(key: str, indent: str) -> Iterator[str]:
    for line in dump_yaml({key: None}).splitlines():
        yield f"{indent}{line.removesuffix(' null')}"
