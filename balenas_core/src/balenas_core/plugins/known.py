"""The index of known plugins: which distribution provides which name, installed or not.

``known.json`` beside this module is the index. A distribution that is published is added to it; see
docs/write-a-plugin.md. The first-party ones own the names that they provide.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from balenas_core.plugins.names import normalize


@dataclass(frozen=True, slots=True)
class KnownDistribution:
    """A distribution of the index.

    Args:
        name: What ``pip install`` takes.
        summary: One line.
        is_first_party: Whether it is published by balenas itself.
        plugins: Kind -> names that it provides.
    """

    name: str
    summary: str
    is_first_party: bool
    plugins: Mapping[str, tuple[str, ...]]

    def provides(self, kind: str, name: str) -> bool:
        """Whether it provides a plugin of this kind and name."""
        return normalize(name) in map(normalize, self.plugins.get(kind, ()))


@cache
def known_distributions() -> tuple[KnownDistribution, ...]:
    """Return the index."""
    text = resources.files(__package__).joinpath("known.json").read_text(encoding="utf-8")
    return tuple(
        KnownDistribution(
            one["name"],
            one["summary"],
            one.get("first_party", False),
            {kind: tuple(names) for kind, names in one["plugins"].items()},
        )
        for one in json.loads(text)
    )


def providers(kind: str, name: str) -> list[KnownDistribution]:
    """Return the known distributions that provide a plugin of this kind and name."""
    return [one for one in known_distributions() if one.provides(kind, name)]


def owner(kind: str, name: str) -> str | None:
    """Return the first-party distribution to which a name belongs; None if to nobody."""
    return next((one.name for one in providers(kind, name) if one.is_first_party), None)


@cache
def is_first_party(distribution: str) -> bool:
    """Whether a distribution is published by balenas itself."""
    name = normalize(distribution)
    return any(one.is_first_party and normalize(one.name) == name for one in known_distributions())
