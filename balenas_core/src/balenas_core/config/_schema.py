"""JSON Schema of a configuration file, with a branch for every installed plugin."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema

from balenas_core.config._layers import SECTION_KINDS
from balenas_core.config._model import DEFAULT_DATASET, DEFAULT_EXECUTOR, SearchConfig
from balenas_core.config._ranking import RANKING_KEYS, RankingOptions
from balenas_core.config._selector import AUTO_SELECTOR, DEFAULT_SELECTOR
from balenas_core.config._stages import LOOSE_KEYS, STAGE, StagedOptions
from balenas_core.errors import PluginLoadError, told
from balenas_core.plugins.checking import loadable
from balenas_core.plugins.options import PluginOptions
from balenas_core.plugins.plugin import Plugin
from balenas_core.plugins.registry import PluginRef, Registry, default_registry
from balenas_core.plugins.selector_options import PoolOptions

_log = logging.getLogger(__name__)

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_DEFAULT_NAMES = {
    "dataset": DEFAULT_DATASET,
    "executor": DEFAULT_EXECUTOR,
    "selector": DEFAULT_SELECTOR,
}


def json_schema(registry: Registry | None = None) -> Schema:
    """Return the JSON Schema (2020-12) of configuration files.

    Plugins that cannot be loaded are left out: the schema describes what can be used.

    Args:
        registry: Whose plugins; the process's own by default.
    """
    registry = registry or default_registry()
    base = SearchConfig.model_json_schema(schema_generator=_Generator)
    properties: Schema = base["properties"]
    definitions: Schema = {
        name: value for name, value in base["$defs"].items() if name.endswith("Config")
    }
    for key, kind in SECTION_KINDS.items():
        description = properties[key]["description"]
        section = _section(kind, registry, definitions)
        if key == "distribution":
            section["anyOf"].append({"type": "null"})
        properties[key] = {"description": description, **section}
    properties["trackers"]["items"] = _section("tracker", registry, definitions)
    schema = {
        "$schema": DIALECT,
        "title": "balenas search",
        "description": "Configuration of an architecture search.",
        "type": "object",
        "properties": {"$schema": {"type": "string"}, **properties},
        "required": ["space", "optimizer"],
        "additionalProperties": False,
        "$defs": definitions,
    }
    finite: Schema = _without_non_finite(schema)
    return finite


class _Generator(GenerateJsonSchema):
    """Leaves out defaults that JSON cannot express, without a warning."""

    ignored_warning_kinds = frozenset({"non-serializable-default", "skipped-choice"})  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class _Usable:
    """A plugin that loads, and the schema of its options."""

    name: str
    plugin: Plugin
    properties: Schema
    required: tuple[str, ...]


def _usable(kind: str, registry: Registry, definitions: Schema) -> Iterator[_Usable]:
    for ref in loadable(registry.refs(kind)):
        try:
            plugin = ref.load()
        except PluginLoadError:
            continue
        name = ref.qualified_name if registry.rivals(ref) else ref.name
        options = _options(ref, f"{kind}.{name}", plugin.options, definitions)
        yield _Usable(
            name, plugin, options.get("properties", {}), tuple(options.get("required", ()))
        )


def _options(
    ref: PluginRef, label: str, model: type[PluginOptions] | None, definitions: Schema
) -> Schema:
    """Return the schema of an options model; models inside it join ``definitions``."""
    if model is None:
        return {}
    prefix = _definition_key(label)
    try:
        with ref.called("while the schema of its options was made"):
            schema = model.model_json_schema(
                schema_generator=_Generator, ref_template=f"#/$defs/{prefix}.{{model}}"
            )
            json.dumps(schema)
    except Exception as error:
        if not isinstance(error, PydanticInvalidForJsonSchema):
            _log.warning(
                "the options of %s %r (from %s) have no schema: %s. %s",
                ref.kind,
                ref.name,
                ref.origin,
                told(error),
                ref.remedy,
            )
        return {"properties": {key: {} for key in model.model_fields}}
    for name, nested in schema.pop("$defs", {}).items():
        definitions[f"{prefix}.{name}"] = nested
    return schema


def _definition_key(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", label)  # what needs no escape in a reference


def _section(kind: str, registry: Registry, definitions: Schema) -> Schema:
    usable = list(_usable(kind, registry, definitions))
    branches = [_branch(kind, one) for one in usable]
    bare = [one.name for one in usable if not one.required]
    if kind == "selector":
        proxies = list(_usable("proxy", registry, definitions))
        nested = {one.name: _nested(one, definitions) for one in proxies}
        branches += [_proxy_branch(one, nested) for one in proxies]
        bare += [*(one.name for one in proxies if not one.required), AUTO_SELECTOR]
        branches.append(_auto_branch())
        if len(proxies) > 1:
            branches.append(_ranking_branch(proxies, nested))
            branches.append({"type": "string", "pattern": _sum_pattern(proxies)})
        stages = [one for one in usable if STAGE in one.plugin.provides]
        if len(proxies) + len(stages) > 1:
            branches.append(_staged_branch(stages, proxies, nested))
            branches.append({"type": "string", "pattern": _staged_pattern(stages, proxies)})
    if not branches:
        return {"anyOf": [{"not": {}, "description": f"No {kind} is installed."}]}
    if bare:
        branches.insert(0, {"enum": bare})
    return {"anyOf": branches}


def _branch(kind: str, one: _Usable) -> Schema:
    is_name_needed = kind != "distribution" and _DEFAULT_NAMES.get(kind) != one.name
    return _mapping(
        one.plugin.summary,
        {"name": {"const": one.name}, **one.properties},
        (*(["name"] if is_name_needed else []), *one.required),
    )


def _nested(one: _Usable, definitions: Schema) -> Schema:
    """Refer to the options of a proxy below a ranking; a key without a value means none."""
    key = _definition_key(f"proxy.{one.name}")
    options = _mapping(one.plugin.summary, one.properties, one.required)
    definitions[key] = {**options, "type": ["object", "null"]}
    return {"$ref": f"#/$defs/{key}"}


def _proxy_branch(one: _Usable, nested: Mapping[str, Schema]) -> Schema:
    """One proxy as selector: its options loose, under its name, or under ``proxies``."""
    ranking = _ranking_properties({one.name: nested[one.name]})
    properties = {"name": {"const": one.name}, **one.properties, **ranking}
    return _mapping(one.plugin.summary, properties, ("name",))


def _ranking_branch(proxies: list[_Usable], nested: Mapping[str, Schema]) -> Schema:
    name = {"type": "string", "pattern": _sum_pattern(proxies)}
    return _mapping(
        "Proxies joined by '+': ranked by the mean of the ranks under each.",
        {"name": name, **_ranking_properties(nested)},
        ("name",),
    )


def _ranking_properties(nested: Mapping[str, Schema]) -> Schema:
    proxies = _mapping("Options of each proxy, by its name.", dict(nested), ())
    return {**_own_properties(RankingOptions, RANKING_KEYS), "proxies": proxies, **nested}


def _staged_branch(
    stages: list[_Usable], proxies: list[_Usable], nested: Mapping[str, Schema]
) -> Schema:
    """Stages joined by '>'; the options of each under its name, or under ``stages``."""
    pool = tuple(PoolOptions.model_fields)
    own = _own_properties(StagedOptions, (*pool, "survivors"))
    loose = _own_properties(RankingOptions, LOOSE_KEYS)
    of_stage = {
        one.name: _mapping(
            one.plugin.summary,
            {key: value for key, value in one.properties.items() if key not in pool},
            (),
        )
        for one in stages
    }
    ranking = _mapping("A stage that ranks by proxies.", _ranking_properties(nested), ())
    by_stage = {
        "type": "object",
        "description": "Options of each stage, by its part of the name.",
        "properties": of_stage,
        "additionalProperties": {"anyOf": [ranking, {"type": "null"}, *_proxy_options(proxies)]},
    }
    name = {"type": "string", "pattern": _staged_pattern(stages, proxies)}
    return _mapping(
        "Stages joined by '>': the best of each are ranked by the next.",
        {"name": name, **own, **loose, "stages": by_stage, **nested, **of_stage},
        ("name",),
    )


def _proxy_options(proxies: list[_Usable]) -> list[Schema]:
    """Return schemas of a stage that is one proxy, whose options may stand loose."""
    ranking = _own_properties(RankingOptions, RANKING_KEYS)
    return [_mapping(one.plugin.summary, {**ranking, **one.properties}, ()) for one in proxies]


def _own_properties(model: type[PluginOptions], keys: tuple[str, ...]) -> Schema:
    properties = model.model_json_schema(schema_generator=_Generator)["properties"]
    return {key: properties[key] for key in keys}


def _staged_pattern(stages: list[_Usable], proxies: list[_Usable]) -> str:
    alone = "|".join(re.escape(one.name) for one in (*stages, *proxies))
    names = "|".join(re.escape(one.name) for one in proxies)
    stage = rf"({alone}|({names})(\s*\+\s*({names}))+)" if proxies else f"({alone})"
    return rf"^\s*{stage}(\s*>\s*{stage})+\s*$"


def _sum_pattern(proxies: list[_Usable]) -> str:
    names = "|".join(re.escape(one.name) for one in proxies)
    return rf"^\s*({names})(\s*\+\s*({names}))+\s*$"


def _auto_branch() -> Schema:
    """Describe the space's own selector, whose options are not known before the space is."""
    return {
        "type": "object",
        "description": "what the space recommends",
        "properties": {"name": {"const": AUTO_SELECTOR}},
        "required": ["name"],
    }


def _mapping(description: str, properties: Schema, required: tuple[str, ...]) -> Schema:
    schema: Schema = {"type": "object", "description": description, "properties": properties}
    if required:
        schema["required"] = list(required)
    return {**schema, "additionalProperties": False}


def _without_non_finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_non_finite(item)
            for key, item in value.items()
            if not (isinstance(item, float) and not math.isfinite(item))
        }
    return [_without_non_finite(item) for item in value] if isinstance(value, list) else value
