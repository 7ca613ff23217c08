"""Dicts of many floats, as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Series(Mapping[Any, Any]):
    """A mapping that keeps long runs of floats as arrays.

    A dict of 200 floats takes ten times the memory.
    """

    __slots__ = ("_packed", "_plain")

    def __init__(self, items: Mapping[Any, Any] | None = None) -> None:
        self._plain: dict[Any, Any] = dict(items or {})
        self._packed: list[tuple[tuple[Any, ...], NDArray[np.float64]]] = []

    def __getitem__(self, key: Any) -> Any:
        if key in self._plain:
            return self._plain[key]
        for keys, values in self._packed:
            place = _places(keys).get(key)
            if place is not None:
                return float(values[place])
        raise KeyError(key)

    def __iter__(self) -> Iterator[Any]:
        yield from self._plain
        for keys, _ in self._packed:
            yield from keys

    def __len__(self) -> int:
        return len(self._plain) + sum(len(keys) for keys, _ in self._packed)

    def plain_values(self) -> Iterable[Any]:
        """Return the values that are not kept in arrays."""
        return self._plain.values()

    def update(self, items: Mapping[Any, Any]) -> None:
        """Add items of any type."""
        self._plain.update(items)

    def pack(self, keys: tuple[Any, ...], values: NDArray[np.float64]) -> None:
        """Add floats."""
        self._packed.append((keys, values))

    def gather(self, keys: tuple[Any, ...]) -> NDArray[np.float64]:
        """Return the values of some keys, in their order.

        Raises:
            KeyError: There is no such key.
            TypeError, ValueError: A value is no number.
        """
        for packed_keys, values in self._packed:
            positions = _positions(packed_keys, keys)
            if positions is not None:
                return values[positions]
        return np.array([self[key] for key in keys], dtype=np.float64)


# The same few keys come again and again: epochs, and names of splits with an epoch.
@lru_cache(maxsize=256)
def _places(packed_keys: tuple[Any, ...]) -> dict[Any, int]:
    return {key: place for place, key in enumerate(packed_keys)}


@lru_cache(maxsize=256)
def _positions(packed_keys: tuple[Any, ...], keys: tuple[Any, ...]) -> NDArray[np.int64] | None:
    places = _places(packed_keys)
    if not all(key in places for key in keys):
        return None
    return np.array([places[key] for key in keys], dtype=np.int64)
