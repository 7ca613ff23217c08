"""Which installed plugins may be imported: what is switched off, and what a list allows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from balenas_core.plugins.known import is_first_party
from balenas_core.plugins.names import normalize

DISABLE_VARIABLE = "BALENAS_DISABLE_PLUGINS"
ALLOW_VARIABLE = "BALENAS_ALLOW_PLUGINS"


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be imported.

    Names are those of plugins, of distributions, or ``distribution:name``.

    Args:
        disabled: What may not.
        allowed: Lists of what alone may, beside what balenas itself publishes; each by where it
            was written.
    """

    disabled: frozenset[str] = frozenset()
    allowed: tuple[tuple[str, frozenset[str]], ...] = ()

    @classmethod
    def of_environment(cls) -> Self:
        """Return the policy of the environment variables."""
        disabled = _names(os.environ.get(DISABLE_VARIABLE, "").split(","))
        allowed = os.environ.get(ALLOW_VARIABLE)
        if allowed is None:
            return cls(disabled)
        return cls(disabled, ((f"{ALLOW_VARIABLE}={allowed}", _names(allowed.split(","))),))

    def restricted(self, source: str, allowed: Sequence[str]) -> Policy:
        """Return the policy with one more list of what alone may be imported."""
        one = (source, _names(allowed))
        return self if one in self.allowed else replace(self, allowed=(*self.allowed, one))

    def bar(self, name: str, distribution: str) -> str | None:
        """Return why a plugin may not be imported, as what follows its name; None if it may."""
        names = {normalize(name), normalize(distribution), normalize(f"{distribution}:{name}")}
        if not self.disabled.isdisjoint(names):
            value = os.environ.get(DISABLE_VARIABLE, "")
            return f"is switched off by {DISABLE_VARIABLE}={value}; unset it to use it."
        if is_first_party(distribution):
            return None
        for source, allowed in self.allowed:
            if allowed.isdisjoint(names):
                return f"is not allowed by {source}; add {distribution!r} to it to use it."
        return None


def _names(items: Iterable[str]) -> frozenset[str]:
    return frozenset(normalize(item.strip()) for item in items if item.strip())
