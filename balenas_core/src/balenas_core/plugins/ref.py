"""A plugin known by its metadata, and what can be made of it."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from balenas_core.errors import (
    BalenasError,
    PluginLoadError,
    UsageError,
    is_out_of_memory,
    text_of,
    told,
)
from balenas_core.plugins.declaration import (
    DeclarationError,
    check_built,
    check_declaration,
    check_implementation,
    is_outdated,
)
from balenas_core.plugins.foreign import foreign_code, named_if_slow
from balenas_core.plugins.installed import Entry, remedy
from balenas_core.plugins.plugin import API_VERSION, Plugin

if TYPE_CHECKING:
    from balenas_core.plugins.options import PluginOptions

RUN_TIME = "(run time)"
"""Stands for the distribution of what was registered in this process."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PluginRef:
    """A plugin known by its metadata alone.

    ``distribution`` is ``"(run time)"`` for a component that was registered in this process.
    ``barred`` is why it is not to be imported, ``fault`` why it cannot be used; None where nothing
    speaks against it. ``place`` is where a distribution without a name lies.
    """

    kind: str
    name: str
    distribution: str
    version: str
    target: str
    barred: str | None
    fault: str | None
    place: str
    _source: Any

    @property
    def entry(self) -> Entry | None:
        """Its line of metadata; None for what was registered in this process."""
        return self._source if isinstance(self._source, Entry) else None

    @property
    def is_disabled(self) -> bool:
        """Whether it is switched off, or not on the list of what may be imported."""
        return self.barred is not None

    @property
    def is_usable(self) -> bool:
        """Whether its metadata does not speak against it."""
        return self.barred is None and self.fault is None

    @property
    def _is_made_at_run_time(self) -> bool:
        return self.distribution == RUN_TIME

    @property
    def qualified_name(self) -> str:
        """``distribution:name``, which tells apart two plugins of one name."""
        return f"{self.distribution}:{self.name}"

    @property
    def stored_name(self) -> str:
        """The name by which a run keeps it: the long one, where there is a distribution."""
        return self.name if self.distribution.startswith("(") else self.qualified_name

    @property
    def origin(self) -> str:
        """Distribution and version."""
        return f"{self.distribution} {self.version}".strip()

    @property
    def remedy(self) -> str:
        """What to do when the plugin does not work."""
        if self._is_made_at_run_time:
            return "Correct the call that registered it."
        return remedy(self.distribution, self.place)

    @property
    def _who(self) -> str:
        return f"{self.kind} plugin {self.name!r} (from {self.origin})"

    def called(self, doing: str) -> AbstractContextManager[None]:
        """Return the context in which what it has made is called, such as a proxy's ``score``.

        See ``foreign_code``: whatever is raised there is an ``Exception`` outside.
        """
        return foreign_code(self._who, doing, draws=True)

    def load(self) -> Plugin:
        """Import the plugin's light module and check what it declares.

        Raises:
            PluginLoadError: The import failed, or the object is not a ``Plugin`` of this
                kind that can work with this version, or the plugin is switched off.
        """
        if self.barred is not None:
            raise PluginLoadError(
                f"{self.kind} plugin {self.name!r} (from {self.distribution}) {self.barred}"
            )
        if self.fault is not None:
            raise self._load_error(DeclarationError(self.fault))
        try:
            with self._waited_for(), foreign_code(self._who, "while it was imported"):
                plugin = self._source if self._is_made_at_run_time else self._source.load()
                check_declaration(plugin, self.kind)
        except Exception as error:
            raise self._load_error(error) from error
        assert isinstance(plugin, Plugin)
        if is_outdated(plugin):
            self._warn_of_age(plugin)
        return plugin

    def load_implementation(self) -> Any:
        """Load the plugin and import its implementation.

        Raises:
            PluginLoadError: As ``load``, or the implementation cannot be imported.
        """
        plugin = self.load()
        try:
            doing = "while its implementation was imported"
            with self._waited_for(), foreign_code(self._who, doing):
                return plugin.load_implementation()
        except Exception as error:
            raise self._load_error(error) from error

    def load_value(self) -> Any:
        """Return the implementation of a kind that is not called, such as a preset's settings.

        Raises:
            PluginLoadError: As ``load_implementation``, or it is not of the kind.
        """
        value = self.load_implementation()
        try:
            check_implementation(self.load(), value)
        except DeclarationError as error:
            raise self._load_error(error) from error
        return value

    def build(self, options: PluginOptions | None = None, **context: Any) -> Any:
        """Load the plugin and build it.

        Args:
            options: The plugin's validated options; its defaults for None. A plugin that
                declares no options model is built without them.
            **context: What builders of this kind are given, by name.

        Raises:
            PluginLoadError: The implementation cannot be imported, raises something other than
                an error that balenas knows, or makes something that is not of the kind.
            UsageError: The plugin refuses its options.
        """
        plugin = self.load()
        implementation = self.load_implementation()
        model = plugin.options
        try:
            with foreign_code(self._who, "while it was built", draws=True):
                arguments = () if model is None else (model() if options is None else options,)
                made = implementation(*arguments, **context)
        except BalenasError:
            raise
        except ValueError as error:
            raise UsageError(f"{self.kind} {self.name!r}: {text_of(error)}") from error
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise self._build_error(error) from error
        try:
            check_built(plugin, made)
        except DeclarationError as error:
            raise self._build_error(error) from error
        return made

    def _waited_for(self) -> AbstractContextManager[None]:
        return named_if_slow(self._who, self.name, self.distribution)

    def _build_error(self, error: BaseException) -> PluginLoadError:
        return PluginLoadError(
            f"{self.kind} plugin {self.name!r} ({self.target}, from {self.origin}) could not "
            f"be built: {told(error)}. {self.remedy}"
        )

    def _load_error(self, error: BaseException) -> PluginLoadError:
        return PluginLoadError(
            f"{self.kind} plugin {self.name!r} ({self.target}, from {self.origin}) failed to load: "
            f"{told(error)}. {self.remedy}"
        )

    def _warn_of_age(self, plugin: Plugin) -> None:
        _log.warning(
            "%s was written for plugin API %s; the next minor release of balenas-core will have "
            "%d alone. %s",
            self._who,
            plugin.api_version,
            API_VERSION,
            self.remedy,
        )
