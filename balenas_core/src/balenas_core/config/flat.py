"""Differences of nested settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted key and value of every leaf.

    Example:
        >>> dict(flat({"a": {"b": 1}, "c": 2}))
        {'a.b': 1, 'c': 2}
    """
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            yield from flat(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item


def differences(
    settings: Sequence[Mapping[str, Any]], absent: Any = None
) -> dict[str, tuple[Any, ...]]:
    """Return dotted key -> all values, wherever they are not all the same.

    Example:
        >>> differences([{"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}])
        {'a.c': (2, 3)}
    """
    flattened = [dict(flat(one)) for one in settings]
    keys = dict.fromkeys(key for one in flattened for key in one)
    found = {key: tuple(one.get(key, absent) for one in flattened) for key in keys}
    return {key: values for key, values in found.items() if any(v != values[0] for v in values[1:])}
