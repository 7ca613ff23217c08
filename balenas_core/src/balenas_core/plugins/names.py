"""How names of plugins and distributions are compared."""

from __future__ import annotations


def normalize(name: str) -> str:
    """Return the form in which names are compared: lower case, ``_`` for ``-``."""
    return name.lower().replace("-", "_")
