"""Plugin discovery, in three levels that import more and more.

1. ``Registry.refs`` reads entry-point metadata only. Nothing of a plugin is imported, so a
   broken plugin can always be listed and named.
2. ``PluginRef.load`` imports the plugin's light module and returns its ``Plugin``.
3. ``Plugin.load_implementation`` imports the implementation, and with it torch.

Components made at run time enter by ``Registry.add`` or by the ``balenas_register`` hook.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any

from balenas_core.errors import (
    BalenasError,
    PluginConflictError,
    PluginLoadError,
    PluginNotFoundError,
    UsageError,
)
from balenas_core.plugins.hooks import LOAD_ERRORS, RUN_TIME, Hooks
from balenas_core.plugins.installed import name_of
from balenas_core.plugins.plugin import API_VERSION, GROUPS, HOOKS_GROUP, Plugin
from balenas_core.plugins.suggest import did_you_mean

if TYPE_CHECKING:
    from balenas_core.plugins.options import PluginOptions

DISABLE_VARIABLE = "BALENAS_DISABLE_PLUGINS"


@dataclass(frozen=True, slots=True)
class PluginRef:
    """A plugin known by its metadata alone.

    ``distribution`` is ``"(run time)"`` for a component that was registered in this process.
    """

    kind: str
    name: str
    distribution: str
    version: str
    target: str
    is_disabled: bool
    _source: Any

    @property
    def _is_made_at_run_time(self) -> bool:
        # Not by the type: once a library imports the backport importlib_metadata, entry points
        # are its own.
        return self.distribution == RUN_TIME

    @property
    def qualified_name(self) -> str:
        """``distribution:name``, which tells apart two plugins of one name."""
        return f"{self.distribution}:{self.name}"

    def load(self) -> Plugin:
        """Import the plugin's light module and check what it declares.

        Raises:
            PluginLoadError: The import failed, or the object is not a ``Plugin`` of this
                kind and of the current API version, or the plugin is switched off.
        """
        if self.is_disabled:
            raise PluginLoadError(
                f"{self.kind} plugin {self.name!r} (from {self.distribution}) is switched off by "
                f"{DISABLE_VARIABLE}={os.environ.get(DISABLE_VARIABLE, '')}; unset it to use it."
            )
        try:
            plugin = self._source if self._is_made_at_run_time else self._source.load()
            _check_declaration(plugin, self.kind)
        except LOAD_ERRORS as error:
            raise self._load_error(error) from error
        assert isinstance(plugin, Plugin)
        return plugin

    def load_implementation(self) -> Any:
        """Load the plugin and import its implementation.

        Raises:
            PluginLoadError: As ``load``, or the implementation cannot be imported.
        """
        plugin = self.load()
        try:
            return plugin.load_implementation()
        except LOAD_ERRORS as error:
            raise self._load_error(error) from error

    def build(self, options: PluginOptions | None = None, **context: Any) -> Any:
        """Load the plugin and build it.

        Args:
            options: The plugin's validated options; its defaults for None. A plugin that
                declares no options model is built without them.
            **context: What builders of this kind are given, by name.

        Raises:
            PluginLoadError: The implementation cannot be imported, or raises something other
                than an error that balenas knows.
            UsageError: The plugin refuses its options.
        """
        plugin = self.load()
        implementation = self.load_implementation()
        model = plugin.options
        arguments = () if model is None else (model() if options is None else options,)
        try:
            return implementation(*arguments, **context)
        except BalenasError:
            raise
        except ValueError as error:
            raise UsageError(f"{self.kind} {self.name!r}: {error}") from error
        except Exception as error:
            raise PluginLoadError(
                f"{self.kind} plugin {self.name!r} ({self.target}, from {self.origin}) could not "
                f"be built: {type(error).__name__}: {error}. {self.remedy}"
            ) from error

    @property
    def origin(self) -> str:
        """Distribution and version."""
        return f"{self.distribution} {self.version}".strip()

    @property
    def remedy(self) -> str:
        """What to do when the plugin does not work."""
        if self._is_made_at_run_time:
            return "Correct the call that registered it."
        return (
            f"Update it with 'pip install -U {self.distribution}', "
            f"or remove it with 'pip uninstall {self.distribution}'."
        )

    def _load_error(self, error: BaseException) -> PluginLoadError:
        return PluginLoadError(
            f"{self.kind} plugin {self.name!r} ({self.target}, from {self.origin}) failed to load: "
            f"{type(error).__name__}: {error}. {self.remedy}"
        )


@dataclass(frozen=True, slots=True)
class HookRef:
    """An installed hook plugin known by its metadata alone."""

    name: str
    distribution: str
    version: str
    target: str
    is_disabled: bool


def _check_declaration(plugin: object, kind: str) -> None:
    if not isinstance(plugin, Plugin):
        raise TypeError(f"expected a balenas_core.Plugin, got {type(plugin).__name__}")
    if plugin.kind != kind:
        raise TypeError(f"declares kind {plugin.kind!r} but is registered as {kind!r}")
    if plugin.api_version != API_VERSION:
        raise TypeError(
            f"written for plugin API {plugin.api_version}, this balenas-core has {API_VERSION}"
        )


def normalize(name: str) -> str:
    """Return the form in which names are compared: lower case, ``_`` for ``-``."""
    return name.lower().replace("-", "_")


def _disabled_names() -> frozenset[str]:
    return frozenset(
        normalize(item.strip())
        for item in os.environ.get(DISABLE_VARIABLE, "").split(",")
        if item.strip()
    )


class Registry:
    """Every plugin that this process can use.

    Args:
        use_entry_points: Whether to look at installed distributions; a registry without them
            holds only what is added to it.
    """

    def __init__(self, *, use_entry_points: bool = True) -> None:
        self._use_entry_points = use_entry_points
        self._added: list[PluginRef] = []
        self._installed: dict[str, list[PluginRef]] = {}
        self._hooks: Hooks | None = None

    @property
    def hooks(self) -> Hooks:
        """Hook plugins, imported at first use. Those that fail are in ``hooks.failures``."""
        if self._hooks is None:
            self._hooks = hooks = Hooks()
            if self._use_entry_points:
                disabled = _disabled_names()
                for entry_point in metadata.entry_points(group=HOOKS_GROUP):
                    distribution, _ = _origin(entry_point)
                    if not _is_disabled(entry_point.name, distribution, disabled):
                        hooks.load(entry_point, distribution)
            hooks.call("balenas_register", registry=self)
        return self._hooks

    def add(self, name: str, plugin: Plugin) -> None:
        """Register a component made at run time.

        Raises:
            PluginLoadError: ``plugin`` is not a valid ``Plugin``.
        """
        kind = getattr(plugin, "kind", "unknown")
        target = repr(getattr(plugin, "implementation", plugin))
        ref = PluginRef(kind, name, RUN_TIME, "", target, False, plugin)
        if kind not in GROUPS:
            raise PluginLoadError(
                f"cannot register {name!r}: kind must be one of {', '.join(GROUPS)}; got {kind!r}."
            )
        ref.load()
        self._added = [r for r in self._added if (r.kind, r.name) != (kind, name)] + [ref]

    def refs(self, kind: str | None = None) -> list[PluginRef]:
        """Return every known plugin, by kind and name, importing none."""
        kinds = GROUPS if kind is None else (kind,)
        return [
            ref
            for one in kinds
            for ref in sorted((*self._entry_points(one), *self._runtime(one)), key=_by_name)
        ]

    def hook_entry_points(self) -> list[metadata.EntryPoint]:
        """Return the installed hook plugins, importing none."""
        return list(metadata.entry_points(group=HOOKS_GROUP)) if self._use_entry_points else []

    def hook_refs(self) -> list[HookRef]:
        """Return the installed hook plugins, importing none."""
        disabled = _disabled_names()
        refs = []
        for entry_point in self.hook_entry_points():
            name, (distribution, version) = entry_point.name, _origin(entry_point)
            off = _is_disabled(name, distribution, disabled)
            refs.append(HookRef(name, distribution, version, entry_point.value, off))
        return sorted(refs, key=lambda ref: (ref.name, ref.distribution))

    def rivals(self, ref: PluginRef) -> list[PluginRef]:
        """Return the other usable plugins of the same kind and name; not empty is a conflict."""
        if ref.is_disabled:
            return []
        return [
            other
            for other in self._match(ref.kind, ref.name)
            if other is not ref and not other.is_disabled
        ]

    def find(self, kind: str, name: str) -> PluginRef:
        """Return the plugin called ``name`` or ``distribution:name``.

        Raises:
            PluginNotFoundError: No such plugin; the message lists close names.
            PluginConflictError: The short name is ambiguous; the message lists the long ones.
        """
        matches = self._match(kind, name)
        if not matches and self._hooks is None:
            _ = self.hooks  # a hook may register what the metadata does not name
            matches = self._match(kind, name)
        if len(matches) == 1:
            return matches[0]
        if matches:
            options = ", ".join(repr(ref.qualified_name) for ref in matches)
            raise PluginConflictError(
                f"{kind} {name!r} is provided by several distributions; use one of {options}."
            )
        raise PluginNotFoundError(self._not_found(kind, name))

    def has(self, kind: str, name: str) -> bool:
        """Whether at least one plugin has this kind and name."""
        return bool(self._match(kind, name)) or (
            self._hooks is None and bool(self.hooks and self._match(kind, name))
        )

    def _not_found(self, kind: str, name: str) -> str:
        names = sorted({ref.name for ref in self.refs(kind)})
        elsewhere = [other for other in GROUPS if other != kind and self._match(other, name)]
        hint = did_you_mean(normalize(name), names)
        if not hint and elsewhere:
            hint = f" There is a {elsewhere[0]} of that name."
        return f"no {kind} called {name!r}.{hint} Installed: {', '.join(names) or 'none'}."

    def _match(self, kind: str, name: str) -> list[PluginRef]:
        distribution, _, short = name.rpartition(":")
        matches = [
            ref
            for ref in self.refs(kind)
            if normalize(ref.name) == normalize(short)
            and (not distribution or normalize(ref.distribution) == normalize(distribution))
        ]
        usable = [ref for ref in matches if not ref.is_disabled]
        return usable or matches  # a switched-off rival causes no conflict

    def _runtime(self, kind: str) -> Iterator[PluginRef]:
        return (ref for ref in self._added if ref.kind == kind)

    def _entry_points(self, kind: str) -> list[PluginRef]:
        if not self._use_entry_points:
            return []
        if kind not in self._installed:
            disabled = _disabled_names()
            self._installed[kind] = [
                _installed_ref(kind, entry_point, disabled)
                # entry_points() keeps the first of two metadata folders of one distribution
                # (a stale egg-info beside an editable install); distributions() gives both.
                for entry_point in metadata.entry_points(group=GROUPS[kind])
            ]
        return self._installed[kind]


def _by_name(ref: PluginRef) -> tuple[str, str]:
    return ref.name, ref.distribution


def _is_disabled(name: str, distribution: str, disabled: frozenset[str]) -> bool:
    return not disabled.isdisjoint(
        {normalize(name), normalize(distribution), normalize(f"{distribution}:{name}")}
    )


def _installed_ref(
    kind: str, entry_point: metadata.EntryPoint, disabled: frozenset[str]
) -> PluginRef:
    distribution, version = _origin(entry_point)
    return PluginRef(
        kind,
        entry_point.name,
        distribution,
        version,
        entry_point.value,
        _is_disabled(entry_point.name, distribution, disabled),
        entry_point,
    )


def _origin(entry_point: metadata.EntryPoint) -> tuple[str, str]:
    distribution = entry_point.dist
    assert distribution is not None, "entry_points() always sets dist"
    name = name_of(distribution)
    return ("(unknown)", "") if name is None else (name, distribution.version)


@cache
def default_registry() -> Registry:
    """Return the registry of this process, with every installed plugin."""
    return Registry()
