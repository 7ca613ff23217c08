"""Whose code an error comes from."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator

from balenas_core.errors import ForeignExit
from balenas_core.plugins.known import is_first_party
from balenas_core.plugins.ref import PluginRef
from balenas_core.plugins.registry import HookRef, Registry


def culprit(error: BaseException, registry: Registry) -> tuple[PluginRef | HookRef, str] | None:
    """Return the plugin in whose code an error was raised, and the place; None if in nobody's.

    First-party plugins are not looked at: their errors are bugs of balenas.
    """
    error = error.error if isinstance(error, ForeignExit) else error
    owners: dict[str, PluginRef | HookRef] = {}
    refs: list[PluginRef | HookRef] = [*registry.refs(), *registry.hook_refs()]
    for ref in refs:
        if ref.entry is not None and not is_first_party(ref.distribution):
            for package in _packages(ref):
                owners.setdefault(package, ref)
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package in owners:
            return owners[package], f"{frame.f_code.co_filename}:{line}"
    return None


def _packages(ref: PluginRef | HookRef) -> Iterator[str]:
    """Yield the packages of a plugin's light module and of its implementation."""
    module, _, attribute = ref.target.partition("[")[0].strip().partition(":")
    yield module.partition(".")[0]
    # What is not imported has raised nothing.
    declared = getattr(sys.modules.get(module), attribute or "", None)
    implementation = getattr(declared, "implementation", None)
    if isinstance(implementation, str):
        yield implementation.partition(":")[0].partition(".")[0]
