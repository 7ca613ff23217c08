"""Shell completion of plugin names, from metadata alone."""

from __future__ import annotations

from collections.abc import Callable


def complete(*kinds: str) -> Callable[[str], list[tuple[str, str]]]:
    """Return a completer of the names of every installed plugin of these kinds.

    ``a+b`` completes ``b``: that is how proxies are combined.
    """

    def completer(incomplete: str) -> list[tuple[str, str]]:
        from balenas_core.registry import Registry

        done, plus, start = incomplete.rpartition("+")
        return [
            (f"{done}{plus}{ref.name}", f"{kind} from {ref.distribution} {ref.version}")
            for kind in kinds
            for ref in Registry().refs(kind)
            if ref.name.startswith(start) and not ref.is_disabled
        ]

    return completer
