"""Checks that hold for a plugin of any kind: its declaration, its options, its manners."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import ValidationError

from balenas_core.config import PluginSection, resolve_proxies, resolve_selector
from balenas_core.errors import BalenasError
from balenas_core.plugins.options import PluginOptions
from balenas_core.plugins.plugin import API_VERSION, GROUPS, Plugin
from balenas_core.plugins.registry import PluginRef, Registry, default_registry
from balenas_core.testing._state import (
    RANDOM_NUMBERS,
    ProcessState,
    guarded,
    stir,
    unchanged_process,
)

_LONGEST_NAME, _LONGEST_SUMMARY = 40, 120
_SLOWEST_IMPORT = 3.0
_LIGHT = """
import os, signal, sys, time
from balenas_core.plugins.registry import default_registry
import pydantic
before = dict(os.environ), os.getcwd(), signal.getsignal(signal.SIGINT), list(sys.path)
start = time.perf_counter()
default_registry().find({kind!r}, {name!r}).load()
seconds = time.perf_counter() - start
after = dict(os.environ), os.getcwd(), signal.getsignal(signal.SIGINT), list(sys.path)
parts = ("environment variables", "the working directory", "a signal handler", "sys.path")
problems = ["changes " + part for part, a, b in zip(parts, before, after) if a != b]
problems += ["imports " + name for name in ("torch",) if name in sys.modules]
problems += [f"takes {{seconds:.1f}} s"] if seconds > {slowest} else []
print("problems: " + "; ".join(problems), file=sys.stderr)
"""


class PluginConformance:
    """Base of the kit. Subclasses of the kit's classes give ``plugin_name``."""

    kind: ClassVar[str]
    plugin_name: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}

    base: ClassVar[type | tuple[type, ...]] = object
    """What the implementation must build."""

    name_form: ClassVar[str] = "[a-z][a-z0-9_]*"
    """What names of this kind look like, as a regular expression."""

    may_draw: ClassVar[bool] = False
    """Whether a plugin of this kind may draw from torch's global generator."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let every test of a kit look at the process before and after."""
        super().__init_subclass__(**kwargs)
        guard(cls)

    def registry(self) -> Registry:
        """Return where the plugin is looked up: what is installed."""
        return default_registry()

    def ref(self) -> PluginRef:
        """Return the plugin as the registry finds it."""
        return self.registry().find(self.kind, self.plugin_name)

    def section(self) -> PluginSection:
        """Return the plugin's section with ``options``, validated by its own model."""
        return PluginSection.resolve(
            self.kind, {"name": self.plugin_name, **self.options}, self.registry()
        )

    def build(self, **context: Any) -> Any:
        """Build the implementation from ``options``."""
        built = self.ref().build(self.section().options, **context)
        assert isinstance(built, self.base), (
            f"the implementation must build {_names(self.base)}; got {type(built).__name__}. "
            f"Derive from it"
        )
        return built

    def make(self) -> Any:
        """Build the implementation as a search would; kinds that are handed more override it."""
        return self.build()

    def use(self) -> None:
        """Do with the plugin what a search does, once; a kind's class overrides it."""
        self.make()

    def test_is_found_by_its_entry_point(self) -> None:
        ref = self.ref()
        assert ref.distribution != "(run time)", (
            f"declare an entry point in pyproject.toml: "
            f'[project.entry-points."{GROUPS.get(self.kind, "balenas.hooks")}"]'
        )

    def test_its_name_can_be_typed_everywhere(self) -> None:
        name = self.ref().name
        assert re.fullmatch(self.name_form, name), (
            f"the entry point is called {name!r}: take lower-case letters, digits and _, as in "
            f"{re.sub('[^a-z0-9]+', '_', name.lower()).strip('_') or 'my_plugin'!r}; names stand "
            f"in command lines, in 'a+b > c' and in files"
        )
        assert len(name) <= _LONGEST_NAME, f"the name has {len(name)} letters; 40 at most"
        assert name not in ("auto", "none", "null", "true", "false"), (
            f"{name!r} means something else in a configuration; choose another name"
        )

    def test_declares_kind_api_version_and_a_one_line_summary(self) -> None:
        plugin = self.ref().load()
        assert isinstance(plugin, Plugin), "let the entry point name a balenas_core.Plugin"
        assert plugin.kind == self.kind, f"declares kind {plugin.kind!r}; say {self.kind!r}"
        assert plugin.api_version == API_VERSION, f"say api_version={API_VERSION}"
        summary = plugin.summary
        assert isinstance(summary, str), f"the summary must be text; got {summary!r}"
        assert summary.strip(), "say in the summary, in one line, what the plugin is"
        assert summary.isprintable(), f"the summary must be one plain line; got {summary!r}"
        assert len(summary) <= _LONGEST_SUMMARY, (
            f"the summary has {len(summary)} characters and is cut off in listings; "
            f"{_LONGEST_SUMMARY} at most"
        )

    def test_light_module_imports_no_torch_and_changes_nothing(self) -> None:
        code = _LIGHT.format(kind=self.kind, name=self.plugin_name, slowest=_SLOWEST_IMPORT)
        done = subprocess.run(
            [sys.executable, "-c", code], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, f"the entry point cannot be loaded: {done.stderr[-500:]}"
        problems = done.stderr.rpartition("problems: ")[2].strip()
        assert not problems, (
            f"the module that the entry point names {problems}. Keep it light: no torch, no work "
            f"at import; put the implementation into a module of its own"
        )
        assert "was put back" not in done.stderr, (
            f"the module that the entry point names changes the process at import: {done.stderr}. "
            f"Keep it light: a declaration, and no work"
        )
        assert not done.stdout, (
            f"the module that the entry point names prints {done.stdout[:80]!r} at import, which "
            f"spoils --json; remove that"
        )

    def test_capabilities_and_partners_are_well_formed_and_exist(self) -> None:
        plugin = self.ref().load()
        assert _are_names(plugin.provides), (
            f"provides must be a tuple of names, such as ('stage',); got {plugin.provides!r}"
        )
        for field in ("needs", "defaults", "recommends"):
            value = getattr(plugin, field)
            assert isinstance(value, Mapping), f"{field} must be a mapping; got {value!r}"
            assert set(value) <= set(GROUPS), (
                f"{field} names kinds {sorted(map(str, set(value) - set(GROUPS)))}; kinds are "
                f"{', '.join(GROUPS)}"
            )
        for kind, names in plugin.needs.items():
            assert _are_names(names), (
                f"needs[{kind!r}] must be a tuple of capabilities, such as ('gaussian',); got "
                f"{names!r} (a tuple of one needs its comma)"
            )
        for kind, name in plugin.defaults.items():
            assert isinstance(name, str), f"defaults[{kind!r}] must be a name; got {name!r}"
            provided = self.registry().find(kind, name).load().provides
            missing = set(plugin.needs.get(kind, ())) - set(provided)
            assert not missing, (
                f"defaults[{kind!r}] is {name!r}, which lacks {sorted(missing)} that needs asks for"
            )
        for kind, value in plugin.recommends.items():
            try:
                if kind == "selector":  # which may be an expression of several
                    resolve_selector(value, self.registry())
                elif kind == "proxy":
                    resolve_proxies(str(value), self.registry())
                else:
                    PluginSection.resolve(kind, value, self.registry())
            except (ValidationError, BalenasError) as error:
                raise AssertionError(f"recommends[{kind!r}] cannot be used: {error}") from error

    def test_its_status_is_text(self) -> None:
        status = self.ref().load().load_status()
        assert all(text.strip() for text in status.values()), (
            f"status must say something; got {status!r}"
        )

    def test_options_are_a_model_with_valid_defaults(self) -> None:
        model = self.ref().load().options
        if model is None:
            return
        assert isinstance(model, type), f"options must be a class; got {model!r}"
        assert issubclass(model, PluginOptions), (
            f"derive {model.__name__} from balenas_core.PluginOptions, which is frozen, refuses "
            f"unknown keys and validates defaults"
        )
        for key, expected in (("extra", "forbid"), ("frozen", True), ("validate_default", True)):
            assert model.model_config.get(key) == expected, (
                f"{model.__name__} overrides {key!r} in its model_config; leave it {expected!r}"
            )
        assert "name" not in model.model_fields, "rename the option 'name': a section has that key"
        model.model_json_schema()  # `balenas config schema` writes it
        if not any(field.is_required() for field in model.model_fields.values()):
            try:
                model()
            except ValidationError as error:
                raise AssertionError(f"defaults of {model.__name__} are refused: {error}") from None

    def test_options_survive_a_round_trip(self) -> None:
        options = self.section().options
        if options is None:
            return
        again = type(options).model_validate_json(options.model_dump_json())
        assert again == options, (
            "options must be equal after JSON, as which runs keep them; mend their serializers"
        )
        PluginSection.resolve(
            self.kind,
            {"name": self.plugin_name, **options.model_dump(mode="json", by_alias=True)},
            self.registry(),
        )
        full_size = type(options).full_size
        type(options).model_validate({**options.model_dump(), **full_size})

    def test_every_option_has_a_description(self) -> None:
        model = self.ref().load().options
        if model is not None:
            missing = [
                name
                for name, field in model.model_fields.items()
                if not (field.description or "").strip()
            ]
            assert not missing, f"give Field(description=...) to {missing}"

    def test_implementation_is_importable_and_changes_nothing(self) -> None:
        before = ProcessState()
        start = time.perf_counter()
        try:
            implementation = self.ref().load_implementation()
            changes = before.changes(ignoring=("the filters of warnings",))
        finally:
            before.restore()
        seconds = time.perf_counter() - start
        assert not changes, f"importing the implementation changes {'; '.join(changes)}"
        assert torch.get_default_dtype() is torch.float32, "torch's default dtype is changed"
        assert torch.is_grad_enabled(), "torch's gradients are switched off"
        assert seconds < 60, f"importing the implementation takes {seconds:.0f} s"
        self.check_implementation(implementation)

    def check_implementation(self, implementation: Any) -> None:
        """Check what ``implementation`` resolves to; here that it can be called."""
        assert callable(implementation), (
            f"implementation must name a class or a function; got {implementation!r}"
        )

    def test_builds_what_its_kind_is(self) -> None:
        first, second = self.make(), self.make()
        assert first is not second, "build a new object in each call: two searches may have one"

    def test_leaves_the_process_as_it_was(self) -> None:
        ignored = RANDOM_NUMBERS[:1] if self.may_draw else ()
        before = ProcessState()
        self.use()  # libraries set themselves up when they are first used
        before.restore()
        stir()
        with unchanged_process(f"{self.kind} {self.plugin_name!r}", ignoring=ignored):
            self.use()


def _are_names(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(item, str) and item for item in value)


def _names(base: type | tuple[type, ...]) -> str:
    classes = base if isinstance(base, tuple) else (base,)
    return " or ".join(f"a balenas_core.{cls.__name__}" for cls in classes)


_KIT = re.compile(r"balenas_\w+\.testing\.")
"""Modules of a kit: a distribution whose plugins are of a kind of its own has one, too."""


def guard(cls: type) -> None:
    """Wrap the tests that a class of a kit defines; those of its users are their own."""
    for name, test in list(vars(cls).items()):
        is_of_kit = _KIT.match(getattr(test, "__module__", "") or "")
        if name.startswith("test_") and is_of_kit and not hasattr(test, "__wrapped__"):
            setattr(cls, name, guarded(test))


guard(PluginConformance)
