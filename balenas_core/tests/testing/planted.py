"""Holding a plugin that is made here against the kit, without installing it."""

from __future__ import annotations

import inspect
import logging
import re
from types import SimpleNamespace
from typing import Any

from balenas_core.plugins.plugin import Plugin
from balenas_core.plugins.registry import PluginRef, Registry, default_registry
from balenas_core.testing import PluginConformance

NAME = "planted"
_OF_INSTALLED = (
    "test_is_found_by_its_entry_point",
    "test_light_module_imports_no_torch_and_changes_nothing",
)


class _WithPlanted(Registry):
    """What is installed, and one plugin more."""

    def __init__(self, plugin: Plugin) -> None:
        super().__init__(use_entry_points=False)
        self.add(NAME, plugin)

    def find(self, kind: str, name: str) -> PluginRef:
        own = [ref for ref in self.refs(kind) if ref.name == name]
        return own[0] if own else default_registry().find(kind, name)


def held_against(
    kit: type[PluginConformance], implementation: Any, **fields: Any
) -> type[PluginConformance]:
    """Return the kit's class for a plugin with this implementation.

    Args:
        kit: Class of the plugin's kind.
        implementation: A class or function; it is called without options.
        **fields: Of the plugin's declaration, and attributes of the class.
    """
    # Options of the declaration are a model, those of the kit's class its values.
    own = {
        key: fields.pop(key)
        for key in list(fields)
        if hasattr(kit, key) and not isinstance(fields[key], type)
    }
    declared = {"summary": "planted", "api_version": 1, **fields}
    registry = _WithPlanted(Plugin(kind=kit.kind, implementation=implementation, **declared))
    body = {"plugin_name": NAME, "registry": lambda self: registry, **own}
    return type(f"Test{kit.__name__}", (kit,), body)


class _Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def tests_of(kit: type) -> list[str]:
    """Return the names of the kit's tests that a plugin made here can take."""
    return [n for n in dir(kit) if n.startswith("test_") and n not in _OF_INSTALLED]


def fault(kit: type, name: str, tmp_path: Any) -> str | None:
    """Run one test of a kit's class; return what it says, None where it finds nothing."""
    test = getattr(kit(), name)
    log = _Log()
    logging.getLogger("balenas_core").addHandler(log)
    folder = tmp_path / name
    folder.mkdir()
    fixtures = {"tmp_path": folder, "caplog": SimpleNamespace(messages=log.messages)}
    wanted = inspect.signature(test).parameters
    try:
        test(**{key: value for key, value in fixtures.items() if key in wanted})
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        logging.getLogger("balenas_core").removeHandler(log)
    return None


def faults(kit: type, tmp_path: Any) -> dict[str, str]:
    """Return what all tests of a kit's class say, by name."""
    said = {name: fault(kit, name, tmp_path) for name in tests_of(kit)}
    return {name: text for name, text in said.items() if text is not None}


def assert_found(kit: type, test: str, message: str, tmp_path: Any) -> None:
    """Check that a test of a kit's class finds a mistake, and says what to mend."""
    text = fault(kit, test, tmp_path)
    assert text is not None, f"{test} finds nothing"
    assert re.search(message, text, re.DOTALL), text
