"""pluggy hooks: the life cycle of a search, and components made at run time.

Hook plugins are found in the entry-point group ``balenas.hooks``. Each is loaded and called
on its own, so that one that fails is reported and switched off and hurts no other.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any, Protocol

import pluggy

from balenas_core.plugins.plugin import Plugin

LOAD_ERRORS = (Exception, SystemExit)
"""What foreign code may raise without ending the program: a plugin that calls ``sys.exit`` at
import is broken, a user who presses Ctrl-C is not."""

RUN_TIME = "(run time)"
"""Stands for the distribution of what was registered in this process."""

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


@dataclass(frozen=True, slots=True)
class HookFailure:
    """A hook plugin that could not be loaded, or raised and was switched off."""

    name: str
    distribution: str
    hook: str | None
    error: BaseException

    @property
    def reason(self) -> str:
        """What went wrong, and where."""
        where = f"in {self.hook}" if self.hook else "while loading"
        return f"{where}: {type(self.error).__name__}: {self.error}"

    @property
    def remedy(self) -> str:
        """What to do about it."""
        if self.distribution == RUN_TIME:
            return "Correct the code that registered it."
        return f"Update it, or remove it with 'pip uninstall {self.distribution}'."

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
        self.failures: list[HookFailure] = []

    def load(self, entry_point: EntryPoint, distribution: str) -> None:
        """Import one entry point and register it; a failure is recorded, not raised.

        ``PluginManager.load_setuptools_entrypoints`` stops at the first plugin that raises and
        drops the second of two plugins of one name; this does neither.
        """
        try:
            plugin = entry_point.load()
            self.register(plugin, name=f"{distribution}:{entry_point.name}")
        except LOAD_ERRORS as error:
            self._record(HookFailure(entry_point.name, distribution, None, error))

    def register(self, plugin: object, name: str | None = None) -> None:
        """Register a module or object that has functions marked with ``hookimpl``.

        Raises:
            TypeError: It has none.
            pluggy.PluginValidationError: A function takes an argument its hook does not have.
        """
        self._manager.register(plugin, name=name)
        if not self._manager.get_hookcallers(plugin):
            self._manager.unregister(plugin)
            raise TypeError("expected functions marked with balenas_core.hookimpl, found none")

    def unregister(self, plugin: object) -> None:
        """Remove a hook plugin."""
        self._manager.unregister(plugin)

    def call(self, hook: str, **arguments: Any) -> None:
        """Call ``hook`` of every plugin; one that raises is recorded and switched off."""
        # list_name_plugin, not get_plugins: the order of a set is not the order of registration.
        for _, plugin in self._manager.list_name_plugin():
            others = [other for other in self._manager.get_plugins() if other is not plugin]
            try:
                self._manager.subset_hook_caller(hook, others)(**arguments)
            except LOAD_ERRORS as error:
                name = self._manager.get_name(plugin) or repr(plugin)
                distribution, _, short = name.rpartition(":")
                self._manager.unregister(plugin)
                self._record(HookFailure(short, distribution or RUN_TIME, hook, error))

    def _record(self, failure: HookFailure) -> None:
        self.failures.append(failure)
        _log.warning("%s", failure)
