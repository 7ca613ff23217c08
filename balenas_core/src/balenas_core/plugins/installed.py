"""Names of installed distributions, as their metadata gives them."""

from __future__ import annotations

from importlib import metadata


def name_of(distribution: metadata.Distribution) -> str | None:
    """Return the name of a distribution; None for what an interrupted install has left."""
    try:
        fields = distribution.metadata
    except FileNotFoundError:  # as the backport importlib_metadata says it, once imported
        return None
    return None if fields is None or "Name" not in fields else distribution.name
