"""The public interface, as text that is compared with ``public_api.txt``.

``python tests/public_api.py`` writes the file anew, which belongs into the commit that changes the
interface, beside a line in the changelog.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import balenas_core
from balenas_core.config import SearchConfig
from balenas_core.plugins.hooks import HOOK_NAMES, HookSpecs
from balenas_core.plugins.plugin import (
    API_VERSION,
    CAPABILITIES,
    CLAIMS,
    CONTEXT,
    GROUPS,
    HOOKS_GROUP,
    OLDEST_API_VERSION,
)

FILE = Path(__file__).with_name("public_api.txt")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def text() -> str:
    """Return the whole interface, a line for each part of it."""
    return "\n".join([*_versions(), *_names(), *_hooks(), *_keys(SearchConfig, "")]) + "\n"


def _versions() -> Iterator[str]:
    yield f"plugin API {OLDEST_API_VERSION} to {API_VERSION}"
    for kind, group in GROUPS.items():
        arguments = ", ".join(CONTEXT.get(kind, ()))
        yield f"group {group}: {kind}({arguments})"
    yield f"group {HOOKS_GROUP}: hook"
    for kind, capabilities in CAPABILITIES.items():
        for capability in sorted(capabilities):
            base = CLAIMS.get((kind, capability), "")
            yield f"capability {kind} {capability} {base}".rstrip()


def _hooks() -> Iterator[str]:
    for name in HOOK_NAMES:
        yield f"hook {name}{_signature(getattr(HookSpecs, name))}"


def _names() -> Iterator[str]:
    for name in sorted(balenas_core.__all__):
        yield from _described(name, getattr(balenas_core, name))


def _described(name: str, value: Any) -> Iterator[str]:
    if inspect.isclass(value):
        yield f"class {name}{_signature(value)}"
        for member, function in sorted(vars(value).items()):
            if member.startswith("_"):
                continue
            if isinstance(function, classmethod | staticmethod):
                function = function.__func__
            if inspect.isfunction(function):
                abstract = "abstract " if getattr(function, "__isabstractmethod__", False) else ""
                yield f"  {abstract}{name}.{member}{_signature(function)}"
            elif isinstance(function, property):
                yield f"  {name}.{member}"
    elif callable(value):
        yield f"def {name}{_signature(value)}"
    else:
        yield f"{name} = {value!r}"


def _signature(value: Any) -> str:
    """Return names, kinds and defaults of arguments; annotations change without harm."""
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return "(...)"
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in found.parameters.values()]
    shown = found.replace(parameters=bare, return_annotation=inspect.Signature.empty)
    return _ADDRESS.sub("", str(shown))


def _keys(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for key, field in model.model_fields.items():
        yield f"key {prefix}{key}"
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind.__module__.startswith(
            "balenas_core.config"
        ) and "name" not in kind.model_fields:  # fmt: skip
            yield from _keys(kind, f"{prefix}{key}.")


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
