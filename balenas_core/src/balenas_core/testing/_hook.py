"""Checks of hook plugins."""

from __future__ import annotations

import inspect
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
from balenas_core.interfaces.events import Event, SearchFailed
from balenas_core.plugins.declaration import DeclarationError, check_implementation
from balenas_core.plugins.hooks import Hooks, HookSpecs
from balenas_core.plugins.known import is_first_party
from balenas_core.plugins.plugin import HOOKS_GROUP
from balenas_core.plugins.registry import Registry, default_registry
from balenas_core.plugins.suggest import did_you_mean
from balenas_core.testing._events import plain, with_unknowns
from balenas_core.testing._plugin import guard
from balenas_core.testing._state import stir, unchanged_process
from balenas_core.testing._toy_search import toy_config, toy_registry

_KNOWN = [name for name in vars(HookSpecs) if name.startswith("balenas_")]
_LIGHT = """
import sys
from importlib import metadata
from balenas_core.plugins.process_state import ProcessState
import logging, signal
before = ProcessState(), [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
try:
    {found}.load()
except SystemExit:
    print("problem: ends the process; remove sys.exit", file=sys.stderr)
changes = before[0].restore()
now = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
changes += ["what a signal does"] * (now != before[1])
if "torch" in sys.modules:
    print("it imports torch", file=sys.stderr)
print("changes: " + ", ".join(changes), file=sys.stderr)
"""


class HookConformance:
    """A hook plugin watches searches without changing them, and never fails.

    ``plugin_name`` is the name of its entry point in the group ``balenas.hooks``.
    """

    plugin_name: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let every test of the kit look at the process before and after."""
        super().__init_subclass__(**kwargs)
        guard(cls)

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
            f"the module of the hooks cannot be imported: {done.stderr[-500:]}"
        )
        assert "problem: " not in done.stderr, (
            f"at its import the module {done.stderr.partition('problem: ')[2].strip()}; every "
            f"command imports it"
        )
        changes = done.stderr.rpartition("changes: ")[2].strip()
        assert "it imports torch" not in done.stderr, (
            "import torch inside of the hooks, not at the top of their module: every command "
            "imports it"
        )
        assert not changes, (
            f"the module of the hooks changes {changes} at its import, for every command; keep it "
            f"light: functions, and no work"
        )
        assert not done.stdout, f"the module prints {done.stdout!r} at import, which spoils --json"

    def test_every_hook_is_one_that_is_called(self) -> None:
        plugin = self.plugin()
        assert not isinstance(plugin, type), (
            f"the entry point names the class {plugin.__name__}, whose hooks lack their object; "
            f"name an object of it, or write functions into a module"
        )
        names = [n for n in dir(plugin) if n.startswith("balenas") and callable(getattr(plugin, n))]
        assert names, f"there are no hooks; write functions called {', '.join(_KNOWN)}"
        for name in names:
            assert name in _KNOWN, f"no hook is called {name!r}.{did_you_mean(name, _KNOWN)}"
            assert hasattr(getattr(plugin, name), "balenas_impl"), (
                f"{name} is never called: mark it with @balenas_core.hookimpl"
            )
            function = getattr(plugin, name)
            assert not inspect.isgeneratorfunction(function), (
                f"{name} is a generator: its body never runs. Leave out yield"
            )
            assert not inspect.iscoroutinefunction(function), (
                f"{name} is a coroutine: its body never runs. Write def in place of async def"
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
        events = self._events(tmp_path)
        unknown = with_unknowns([event for _, event in events])
        for given in (
            events,
            [(name, other) for (name, _), other in zip(events, unknown, strict=True)],
        ):
            hooks = self._hooks()
            with chdir(tmp_path):
                for name, event in given:
                    hooks.call(name, _given(event))
            assert not hooks.failures, (
                f"{hooks.failures[0].reason}; a hook must handle every event, also where numbers "
                f"are None because they are not known, and where nothing is written, so that "
                f"SearchStarted.run is None"
            )

    def test_a_second_search_is_no_error(self, tmp_path: Path) -> None:
        hooks, events = self._hooks(), self._events(tmp_path)
        with chdir(tmp_path):
            for name, event in [*events, *events]:
                hooks.call(name, _given(event))
        assert not hooks.failures, (
            f"{hooks.failures[0].reason}, in the second search of a process; keep nothing from one "
            f"search to the next"
        )

    def test_events_stay_as_they_were(self, tmp_path: Path) -> None:
        hooks, events = self._hooks(), self._events(tmp_path)
        with chdir(tmp_path):
            for name, event in events:
                before = plain(event)
                hooks.call(name, _given(event))
                assert plain(event) == before, (
                    f"{name} changes its event, which others get after it; work on copies"
                )

    def test_leaves_the_process_as_it_was(self, tmp_path: Path) -> None:
        hooks, events = self._hooks(), self._events(tmp_path)
        with chdir(tmp_path):
            for name, event in events:  # what is loaded at first use
                hooks.call(name, _given(event))
            stir()
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
                plugin, implementation = ref.load(), ref.load_implementation()
                check_implementation(plugin, implementation)
            except (PluginLoadError, DeclarationError) as error:
                raise AssertionError(f"balenas_register adds what does not work: {error}") from None
            taken = [
                other
                for other in default_registry().refs(ref.kind)
                if other.name == ref.name and is_first_party(other.distribution)
            ]
            assert not taken, (
                f"balenas_register adds a {ref.kind} called {ref.name!r}, which is that of "
                f"{taken[0].distribution}; choose another name"
            )

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


def _given(event: Event) -> Callable[[], Mapping[str, Any]]:
    return lambda: {"event": event}


guard(HookConformance)
