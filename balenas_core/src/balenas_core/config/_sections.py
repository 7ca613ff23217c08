"""A plugin's section of a configuration, validated by that plugin's own model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    SerializationInfo,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    model_serializer,
)
from pydantic_core import PydanticSerializationError, from_json, to_json

from balenas_core.config._plugins import PluginsConfig
from balenas_core.config._problems import Path, Problem, fail, problems_of, shown
from balenas_core.errors import (
    ConfigError,
    PluginConflictError,
    PluginLoadError,
    PluginNotFoundError,
    told,
)
from balenas_core.plugins.options import PluginOptions
from balenas_core.plugins.plugin import Plugin
from balenas_core.plugins.registry import PluginRef, Registry, default_registry


class PluginSection(BaseModel):
    """The name of a plugin and its options.

    In files it is one flat mapping, ``{name: ngvi, lr: 0.1}``, or the bare name. ``options`` is
    None for a plugin that takes none.
    """

    # Infinity stays itself in dumps: YAML can express it.
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")

    name: str
    options: SerializeAsAny[PluginOptions] | None = None

    @model_serializer(mode="plain")
    def _flatten(self, info: SerializationInfo) -> dict[str, Any]:
        if self.options is None:
            return {"name": self.name}
        return {"name": self.name, **self.options.model_dump(mode=info.mode, by_alias=True)}

    @classmethod
    def resolve(cls, kind: str, value: Any, registry: Registry | None = None) -> PluginSection:
        """Return the section that a name or a flat mapping stands for.

        Args:
            kind: Kind of the plugin.
            value: ``"ngvi"`` or ``{"name": "ngvi", "lr": 0.1}``.
            registry: Where the plugin is looked up; the process's own by default.

        Raises:
            ConfigError: No such plugin, or its model refuses the options.
            PluginLoadError: The plugin is installed but cannot be loaded.
        """
        try:
            return resolve_section(kind, value, registry or default_registry())
        except ValidationError as error:
            raise config_error(problems_of(error, cls, value), kind) from error


def config_error(problems: list[Problem], label: str) -> ConfigError | PluginLoadError:
    """Return the error for problems of one section; a lone load error is itself."""
    if len(problems) == 1 and problems[0].load_error is not None:
        return problems[0].load_error
    return ConfigError(
        "\n".join(f"{'.'.join((label, *map(str, p.path)))}: {p.message}" for p in problems)
    )


def registry_of(info: ValidationInfo) -> Registry:
    """Return the registry of a validation: ``context["registry"]``, or the process's own.

    It has what the configuration allows.
    """
    context = info.context or {}
    registry: Registry = context.get("registry") or default_registry()
    # Of a field's validation; of a model's there are no fields that came before.
    plugins = (getattr(info, "data", None) or {}).get("plugins")
    return plugins.restricted(registry) if isinstance(plugins, PluginsConfig) else registry


def section_validator(kind: str, *, default: str | None = None) -> BeforeValidator:
    """Return a validator that turns a name or a flat mapping into a ``PluginSection``."""

    def validate(value: Any, info: ValidationInfo) -> PluginSection:
        return resolve_section(kind, value, registry_of(info), default=default)

    return BeforeValidator(validate)


def resolve_section(
    kind: str, value: Any, registry: Registry, *, default: str | None = None
) -> PluginSection:
    """Return the section that ``value`` stands for; ``default`` is the name where it has none.

    Raises:
        ValidationError: With packed problems.
    """
    if isinstance(value, PluginSection):
        return _checked(kind, value, registry)
    name, options = split_name(kind, value, registry, default=default)
    ref, plugin = find_plugin(kind, name, registry)
    return PluginSection(
        name=canonical_name(name, ref, registry), options=validate_options(ref, plugin, options)
    )


def split_name(
    kind: str, value: Any, registry: Registry, *, default: str | None
) -> tuple[str, dict[str, Any]]:
    """Return a section's name and its other keys."""
    if value is None:
        value = {}
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, Mapping):
        fail([Problem((), f"must be the name of {_a(kind)}, or a mapping with its name and options "
                          f"(got {shown(value)})")])  # fmt: skip
    options = {str(key): item for key, item in value.items()}
    name = options.pop("name", None)
    if name is None:
        name = default
    if name is None:
        fail([Problem(("name",) if value else (), f"is missing. {choices(kind, registry)}")])
    if not isinstance(name, str) or not name.strip():
        fail([Problem(("name",), f"must be the name of {_a(kind)} (got {shown(name)})")])
    return name.strip(), options


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def choices(kind: str, registry: Registry) -> str:
    """Return the sentence that lists what a section of this kind can name."""
    names = registry.names(kind)
    if not names:
        return f"No {kind} is installed."
    return f"Set it to one of: {', '.join(names)}."


def find_plugin(
    kind: str, name: str, registry: Registry, path: Path = ("name",)
) -> tuple[PluginRef, Plugin]:
    """Look a plugin up and load its light module; problems are reported at ``path``."""
    try:
        ref = registry.find(kind, name)
        plugin = ref.load()
    except (PluginNotFoundError, PluginConflictError) as error:
        fail([Problem(path, str(error))])
    except PluginLoadError as error:
        fail([Problem(path, str(error), error)])
    return ref, plugin


def canonical_name(name: str, ref: PluginRef, registry: Registry) -> str:
    """Return the plugin's own spelling, with its distribution where that was named and matters."""
    if ":" not in name:
        return ref.name
    try:
        is_clear = registry.find(ref.kind, ref.name) == ref
    except PluginConflictError:
        is_clear = False
    return ref.name if is_clear else ref.qualified_name


def validate_options(
    ref: PluginRef, plugin: Plugin, options: Mapping[str, Any]
) -> PluginOptions | None:
    """Return a plugin's options, validated by its own model.

    Values are read as strictly as JSON: no text or truth value passes for a number, while
    lists become tuples and text becomes paths or enumeration members where the model says so.
    """
    if plugin.options is None:
        if options:
            message = f"unknown key; {ref.kind} {ref.name!r} takes no options"
            fail([Problem((key,), message) for key in options])
        return None
    try:
        text = to_json(options, inf_nan_mode="constants")
    except PydanticSerializationError as error:
        fail([Problem((), f"holds a value that no file can hold: {error}")])
    try:
        with ref.called("while its options were looked at"):
            made = _validated(plugin.options, text, options)
            made.model_dump(mode="json")  # as runs keep them
            return made
    except ValidationError:
        raise
    except Exception as error:
        load_error = PluginLoadError(
            f"the options of {ref.kind} plugin {ref.name!r} (from {ref.origin}) cannot be looked "
            f"at: {told(error)}. {ref.remedy}"
        )
        fail([Problem((), str(load_error), load_error)])


def _validated(
    model: type[PluginOptions], text: bytes, options: Mapping[str, Any]
) -> PluginOptions:
    try:
        return model.model_validate_json(text, strict=True)
    except ValidationError as error:
        problems = problems_of(error, model, options, with_defaults=False)
        if problems:
            fail(problems)
    # Only defaults were refused, which may be what JSON does not have, such as paths. What was
    # given is known to be good, so that a lenient reading cannot mistake it.
    try:
        return model.model_validate(from_json(text))
    except ValidationError as error:
        fail(problems_of(error, model, options))


def _checked(kind: str, section: PluginSection, registry: Registry) -> PluginSection:
    ref, plugin = find_plugin(kind, section.name, registry)
    expected = plugin.options or type(None)
    if not isinstance(section.options, expected):
        fail([Problem((), f"options of {kind} {ref.name!r} must be {expected.__name__} "
                          f"(got {type(section.options).__name__})")])  # fmt: skip
    return section
