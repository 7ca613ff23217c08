"""How names of plugins and distributions are compared."""

from __future__ import annotations

import re

_DISTRIBUTION = re.compile(r"[^\s:+>]+:")


def normalize(name: str) -> str:
    """Return the form in which names are compared: lower case, ``_`` for ``-``."""
    return name.lower().replace("-", "_")


def short(name: str) -> str:
    """Return a name, or an expression of names, without the distributions.

    Example:
        >>> short("acme:depth + balenas-proxy-naswot:naswot > train")
        'depth + naswot > train'
    """
    return _DISTRIBUTION.sub("", name)


def names_the_same(one: str, other: str) -> bool:
    """Whether two names are of one plugin, as far as they tell: a short one is of any distribution.

    Example:
        >>> names_the_same("acme:depth", "Depth"), names_the_same("acme:depth", "bravo:depth")
        (True, False)
    """
    if ":" not in one or ":" not in other:
        one, other = short(one), short(other)
    return normalize(one).replace(" ", "") == normalize(other).replace(" ", "")
