"""pluggy hooks: the life cycle of a search, and components made at run time.

Hook plugins are found in the entry-point group ``balenas.hooks``. Each is loaded and called
on its own, so that one that fails is reported and switched off and hurts no other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import pluggy

from balenas_core.errors import told
from balenas_core.plugins.declaration import DeclarationError
from balenas_core.plugins.foreign import foreign_code, named_if_slow
from balenas_core.plugins.installed import Entry, remedy
from balenas_core.plugins.plugin import Plugin
from balenas_core.plugins.ref import RUN_TIME
from balenas_core.plugins.suggest import did_you_mean

hookspec = pluggy.HookspecMarker("balenas")
hookimpl = pluggy.HookimplMarker("balenas")

_log = logging.getLogger(__name__)


class Registrar(Protocol):
    """What ``balenas_register`` is handed: the registry, as far as it concerns it."""

    def add(self, name: str, plugin: Plugin) -> None:
        """Register a component made at run time."""


class HookSpecs:
    """Hooks that balenas calls. Arguments are passed by name; take those you need.

    Events are those of ``balenas_core.interfaces.events``, which stands above this room: they
    are named here and not imported.
    """

    @hookspec
    def balenas_register(self, registry: Registrar) -> None:
        """Add components made at run time with ``registry.add(name, plugin)``."""

    @hookspec
    def balenas_search_started(self, event: Any) -> None:
        """Called once, before the first step, with a ``SearchStarted``."""

    @hookspec
    def balenas_epoch_ended(self, event: Any) -> None:
        """Called after every epoch, with an ``EpochEnded`` that holds its metrics."""

    @hookspec
    def balenas_architecture_selected(self, event: Any) -> None:
        """Called with an ``ArchitectureSelected`` when the final architecture is chosen."""

    @hookspec
    def balenas_search_failed(self, event: Any) -> None:
        """Called with a ``SearchFailed`` when the search ends by an error or an interrupt."""

    @hookspec
    def balenas_run_finished(self, event: Any) -> None:
        """Called last, with a ``RunFinished`` that holds the result."""


HOOK_NAMES: Final = tuple(name for name in vars(HookSpecs) if name.startswith("balenas_"))
"""The hooks that are called."""


@dataclass(frozen=True, slots=True)
class HookFailure:
    """A hook plugin that could not be loaded, or raised and was switched off."""

    name: str
    distribution: str
    hook: str | None
    error: BaseException
    place: str = ""

    @property
    def reason(self) -> str:
        """What went wrong, and where."""
        where = f"in {self.hook}" if self.hook else "while loading"
        return f"{where}: {told(self.error)}"

    @property
    def remedy(self) -> str:
        """What to do about it."""
        if self.distribution == RUN_TIME:
            return "Correct the code that registered it."
        return remedy(self.distribution, self.place)

    def __str__(self) -> str:
        """One line with name, distribution, reason and remedy."""
        return (
            f"hook plugin {self.name!r} (from {self.distribution}) failed {self.reason}. "
            f"It is switched off. {self.remedy}"
        )


class Hooks:
    """The hook plugins of one registry."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager("balenas")
        self._manager.add_hookspecs(HookSpecs)
        self._places: dict[str, str] = {}
        self.failures: list[HookFailure] = []

    def load(self, entry: Entry) -> None:
        """Import one entry point and register it; a failure is recorded, not raised.

        ``PluginManager.load_setuptools_entrypoints`` stops at the first plugin that raises and
        drops the second of two plugins of one name; this does neither.
        """
        self._places[entry.distribution] = entry.place
        try:
            if entry.fault is not None:
                raise DeclarationError(entry.fault)
            who = _who(entry.name, entry.distribution)
            with (
                named_if_slow(who, entry.name, entry.distribution),
                foreign_code(who, "while it was imported"),
            ):
                self.register(entry.load(), name=f"{entry.distribution}:{entry.name}")
        except Exception as error:
            self._record(entry.name, entry.distribution, None, error)

    def register(self, plugin: object, name: str | None = None) -> None:
        """Register a module or object that has functions marked with ``hookimpl``.

        Raises:
            DeclarationError: It has none, or one that no hook is called like.
            pluggy.PluginValidationError: A function takes an argument its hook does not have.
        """
        self._manager.register(plugin, name=name)
        callers = self._manager.get_hookcallers(plugin)
        try:
            if not callers:
                raise DeclarationError(
                    "expected functions marked with balenas_core.hookimpl, found none"
                )
            for caller in callers:
                _check_is_called(caller, plugin)
        except DeclarationError:
            self._manager.unregister(plugin)
            raise

    def unregister(self, plugin: object) -> None:
        """Remove a hook plugin."""
        self._manager.unregister(plugin)

    def implemented(self, name: str) -> tuple[str, ...]:
        """Return the hooks that a plugin implements, by its ``distribution:name``."""
        plugin = self._manager.get_plugin(name)
        callers = self._manager.get_hookcallers(plugin) if plugin is not None else None
        return tuple(caller.name for caller in callers or ())

    def call(self, hook: str, arguments: Callable[[], Mapping[str, Any]]) -> None:
        """Call ``hook`` of every plugin; one that raises is recorded and switched off.

        Args:
            hook: Name of the hook.
            arguments: Makes its arguments, for each plugin anew: what one changes in them reaches
                nobody else.
        """
        # list_name_plugin, not get_plugins: the order of a set is not the order of registration.
        for name, plugin in self._manager.list_name_plugin():
            if plugin is None or not self._implements(plugin, hook):
                continue
            others = [other for other in self._manager.get_plugins() if other is not plugin]
            distribution, _, short = name.rpartition(":")
            distribution = distribution or RUN_TIME
            try:
                with foreign_code(_who(short, distribution), f"in {hook}", draws=True):
                    self._manager.subset_hook_caller(hook, others)(**arguments())
            except Exception as error:
                self._manager.unregister(plugin)
                self._record(short, distribution, hook, error)

    def _implements(self, plugin: object, hook: str) -> bool:
        callers = self._manager.get_hookcallers(plugin) or ()
        return any(caller.name == hook for caller in callers)

    def _record(self, name: str, distribution: str, hook: str | None, error: Exception) -> None:
        place = self._places.get(distribution, "")
        failure = HookFailure(name, distribution, hook, error, place)
        self.failures.append(failure)
        _log.warning("%s", failure)


def _who(name: str, distribution: str) -> str:
    return f"hook plugin {name!r} (from {distribution})"


def _check_is_called(caller: pluggy.HookCaller, plugin: object) -> None:
    if caller.name in HOOK_NAMES:
        return
    if any(i.optionalhook for i in caller.get_hookimpls() if i.plugin is plugin):
        return
    hint = did_you_mean(caller.name, HOOK_NAMES)
    raise DeclarationError(
        f"no hook is called {caller.name!r}.{hint} Hooks: {', '.join(HOOK_NAMES)}"
    )
