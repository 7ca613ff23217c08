"""Checks of plugins that are a mapping of settings."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from balenas_core.config import dump_yaml, parse_yaml
from balenas_core.errors import BalenasError
from balenas_core.testing._plugin import PluginConformance


class SettingsConformance(PluginConformance, ABC):
    """Settings that can be used as they are. Kinds say what becomes of them."""

    base = Mapping
    name_form = "[a-z][a-z0-9_-]*"  # it stands in no expression

    of_one_run: ClassVar[tuple[str, ...]] = ("output", "seed", "device", "threads")
    """Keys that belong to one run and one machine."""

    completion: ClassVar[Mapping[str, Any]] = {}
    """What stands for parts that the settings leave open, where they do."""

    keys_are_shown_by: ClassVar[str]
    """The command that lists the keys."""

    def build(self, **context: Any) -> Any:
        """Return the settings: they are not called."""
        return self.ref().load_implementation()

    def make(self) -> Mapping[str, Any]:
        """Return a copy, as whoever uses them takes one."""
        settings = self.build()
        assert isinstance(settings, Mapping), (
            f"implementation must name a mapping of settings; got {type(settings).__name__}"
        )
        return copy.deepcopy(dict(settings))

    def use(self) -> None:
        """Make a configuration of them."""
        self.configuration()

    def check_implementation(self, implementation: Any) -> None:
        """Check that they are a mapping."""
        assert isinstance(implementation, Mapping), (
            f"implementation must name a mapping of settings; got {type(implementation).__name__}"
        )

    @abstractmethod
    def configuration(self) -> object:
        """Return what is made of the settings.

        Raises:
            BalenasError: They are refused.
        """

    def open_parts(self) -> dict[str, Any]:
        """Return those parts of ``completion`` that the settings leave open."""
        settings = self.make()
        return {key: value for key, value in self.completion.items() if not _names(settings, key)}

    def test_it_is_a_valid_configuration(self) -> None:
        try:
            self.configuration()
        except BalenasError as error:
            raise AssertionError(
                f"nothing can begin with this {self.kind}: {error}. Name the keys as "
                f"{self.keys_are_shown_by!r} does, and plugins that are installed"
            ) from error

    def test_it_settles_something(self) -> None:
        settings = self.make()
        assert settings, f"the {self.kind} is empty"
        kept = sorted(set(settings) & set(self.of_one_run))
        assert not kept, f"{kept} belong to one run and one machine; leave them to the user"
        places = [text for text in _texts(settings) if Path(text).is_absolute()]
        assert not places, f"{places} lie on one machine; leave paths to the user"
        allowed = dict(settings.get("plugins") or {}) if _is_mapping(settings, "plugins") else {}
        assert "allow" not in allowed, (
            "plugins.allow says what may be imported on a machine; leave it to the user. What is "
            "needed stands in plugins.require"
        )

    def test_it_has_no_options(self) -> None:
        assert self.ref().load().options is None, (
            f"a {self.kind} is not called, and nobody asks for its options; leave them out"
        )

    def test_it_can_be_written_into_a_file(self) -> None:
        settings = self.make()
        try:
            again = parse_yaml(dump_yaml(settings)).data
        except Exception as error:
            raise AssertionError(
                f"a {self.kind} holds plain data alone (texts, numbers, lists, mappings): {error}"
            ) from error
        assert again == settings, (
            f"a {self.kind} holds plain data alone; as YAML it is {again}, not {settings}"
        )

    def test_using_it_leaves_it_as_it_is(self) -> None:
        before = self.make()
        self.configuration()
        assert self.make() == before, f"the {self.kind} is another after it was used"


def _is_mapping(settings: Mapping[str, Any], key: str) -> bool:
    return isinstance(settings.get(key), Mapping)


def _names(settings: Mapping[str, Any], key: str) -> bool:
    """Whether the settings say which plugin; a section of options alone leaves that open."""
    return "name" in settings[key] if _is_mapping(settings, key) else key in settings


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
