"""Shell completion of plugin names, from metadata alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from balenas_core.plugins.registry import HookRef, PluginRef, Registry

HOOK = "hook"


def complete(*kinds: str) -> Callable[[str], list[tuple[str, str]]]:
    """Return a completer of the names of every installed plugin of these kinds.

    ``a+b``, ``a > b`` and ``a,b`` complete ``b``: that is how proxies and stages are joined.
    """

    def completer(incomplete: str) -> list[tuple[str, str]]:
        from balenas_core.plugins.registry import Registry

        match = re.fullmatch(r"(.*[+>,]\s*)?(.*)", incomplete, re.DOTALL)
        assert match is not None, "the pattern matches any text"
        done, start = match[1] or "", match[2]
        return [
            (f"{done}{ref.name}", f"{kind} from {ref.distribution} {ref.version}")
            for kind in kinds
            for ref in _refs(Registry(), kind)
            if ref.name.startswith(start) and ref.barred is None and ref.fault is None
        ]

    return completer


def _refs(registry: Registry, kind: str) -> Sequence[PluginRef | HookRef]:
    return registry.hook_refs() if kind == HOOK else registry.refs(kind)
