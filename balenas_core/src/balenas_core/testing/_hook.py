"""Checks of hook plugins."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import chdir
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import pluggy

from balenas_core.engine.search import Search
from balenas_core.errors import PluginLoadError, SearchInterrupted
from balenas_core.interfaces.events import EpochEnded, Event, SearchFailed
from balenas_core.plugins.hooks import Hooks, HookSpecs
from balenas_core.plugins.plugin import HOOKS_GROUP
from balenas_core.plugins.registry import Registry, default_registry
from balenas_core.plugins.suggest import did_you_mean
from balenas_core.testing._state import unchanged_process
from balenas_core.testing._toy_search import toy_config, toy_registry

_KNOWN = [name for name in vars(HookSpecs) if name.startswith("balenas_")]
_LIGHT = """
import sys
from importlib import metadata
{found}.load()
sys.exit("torch" in sys.modules)
"""


class HookConformance:
    """A hook plugin watches searches without changing them, and never fails.

    ``plugin_name`` is the name of its entry point in the group ``balenas.hooks``.
    """

    plugin_name: ClassVar[str]

    def entry_point(self) -> EntryPoint:
        """Return the entry point."""
        found = [r for r in default_registry().hook_refs() if r.name == self.plugin_name]
        assert found, (
            f"no entry point {self.plugin_name!r} in the group {HOOKS_GROUP!r}; declare one in "
            f'pyproject.toml: [project.entry-points."{HOOKS_GROUP}"]'
        )
        return EntryPoint(self.plugin_name, found[0].target, HOOKS_GROUP)

    def plugin(self) -> Any:
        """Return the module or object with the hooks."""
        return self.entry_point().load()

    def search(self, *, output: str | None = None, is_watched: bool = True) -> Search:
        """Return a small search, with or without the hooks."""
        registry = toy_registry()
        if is_watched:
            registry.hooks.register(self.plugin(), name=self.plugin_name)
        return Search(toy_config(registry, output=output), registry=registry)

    def test_is_found_by_its_entry_point(self) -> None:
        assert self.entry_point().value

    def test_its_module_imports_no_torch_and_prints_nothing(self) -> None:
        point = self.entry_point()
        found = f"metadata.EntryPoint({point.name!r}, {point.value!r}, {point.group!r})"
        done = subprocess.run(
            [sys.executable, "-c", _LIGHT.format(found=found)],
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, (
            f"import torch inside of the hooks, not at the top of their module: every command "
            f"imports it. {done.stderr}"
        )
        assert not done.stdout, f"the module prints {done.stdout!r} at import, which spoils --json"

    def test_every_hook_is_one_that_is_called(self) -> None:
        plugin = self.plugin()
        names = [n for n in dir(plugin) if n.startswith("balenas") and callable(getattr(plugin, n))]
        assert names, f"there are no hooks; write functions called {', '.join(_KNOWN)}"
        for name in names:
            assert name in _KNOWN, f"no hook is called {name!r}.{did_you_mean(name, _KNOWN)}"
            assert hasattr(getattr(plugin, name), "balenas_impl"), (
                f"{name} is never called: mark it with @balenas_core.hookimpl"
            )

    def test_every_argument_is_one_that_is_given(self) -> None:
        try:
            Hooks().register(self.plugin())
        except (pluggy.PluginValidationError, TypeError) as error:
            raise AssertionError(f"the hooks cannot be called: {error}") from error

    def test_a_search_that_is_watched_ends_like_one_that_is_not(self, tmp_path: Path) -> None:
        with chdir(tmp_path):
            search = self.search(output="watched")
            watched = search.run().to_dict()
            alone = self.search(output="alone", is_watched=False).run().to_dict()
        for found in (watched, alone):
            del found["seconds"], found["final_metrics"]["seconds"]
            for line in found.get("metrics", ()):
                line.pop("seconds", None)
        assert watched == alone, "the hooks change what a search finds; leave events as they are"

    def test_no_hook_raises(self, tmp_path: Path) -> None:
        hooks, events = self._hooks(), self._events(tmp_path)
        with chdir(tmp_path):
            for name, event in events:
                hooks.call(name, _given(event))
        assert not hooks.failures, f"{hooks.failures[0].reason}; a hook must handle every event"

    def test_events_stay_as_they_were(self, tmp_path: Path) -> None:
        hooks, events = self._hooks(), self._events(tmp_path)
        with chdir(tmp_path):
            for name, event in events:
                before = _plain(event)
                hooks.call(name, _given(event))
                assert _plain(event) == before, (
                    f"{name} changes its event, which others get after it; work on copies"
                )

    def test_leaves_the_process_as_it_was(self, tmp_path: Path) -> None:
        hooks, events = self._hooks(), self._events(tmp_path)
        with chdir(tmp_path):
            for name, event in events:  # what is loaded at first use
                hooks.call(name, _given(event))
            with unchanged_process(f"hook {self.plugin_name!r}"):
                for name, event in events:
                    hooks.call(name, _given(event))

    def test_what_it_registers_can_be_used(self) -> None:
        registry = Registry(use_entry_points=False)
        hooks = self._hooks()
        hooks.call("balenas_register", lambda: {"registry": registry})
        assert not hooks.failures, f"balenas_register: {hooks.failures[0].reason}"
        for ref in registry.refs():
            try:
                ref.load_implementation()
            except PluginLoadError as error:
                raise AssertionError(f"balenas_register adds what does not work: {error}") from None

    def test_a_search_that_is_stopped_is_no_error(self, tmp_path: Path) -> None:
        hooks = self._hooks()
        with chdir(tmp_path):
            for error in (ValueError("it broke"), SearchInterrupted("stopped")):
                hooks.call("balenas_search_failed", _given(SearchFailed(error)))
        assert not hooks.failures, f"{hooks.failures[0].reason}"

    def _hooks(self) -> Hooks:
        hooks = Hooks()
        hooks.register(self.plugin(), name=self.plugin_name)
        return hooks

    def _events(self, folder: Path) -> list[tuple[str, Event]]:
        """Return the events of a search by hook."""
        events: list[Event] = []
        registry = toy_registry()
        with chdir(folder):
            Search(
                toy_config(registry, output="events"), registry=registry, listeners=[events.append]
            ).run()
        by_class = {
            "SearchStarted": "balenas_search_started",
            "EpochEnded": "balenas_epoch_ended",
            "ArchitectureSelected": "balenas_architecture_selected",
            "RunFinished": "balenas_run_finished",
        }
        return [
            (by_class[type(event).__name__], event)
            for event in events
            if type(event).__name__ in by_class
        ]


def _plain(event: Event) -> Any:
    return copy.deepcopy(dict(event.metrics)) if isinstance(event, EpochEnded) else repr(event)


def _given(event: Event) -> Callable[[], Mapping[str, Any]]:
    return lambda: {"event": event}
