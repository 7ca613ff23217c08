"""What a pickle of data may ask of the machine that reads it.

A few bytes can describe a tuple that is a million deep, whose hash overflows the stack, or one
that holds the one before twice, and that twice: its hash, its text and a comparison never end.
Honest files of results hold what they hold once, and are flat.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from balenas_core.benchmarks._series import Series

_DEPTH: Final = 64
_RATIO: Final = 100
"""Results are compressed to a tenth; only what says nothing gets to a hundredth."""

_FREE_BYTES: Final = 1 << 24
_FREE_CONTAINERS: Final = 100_000
_BYTES_A_CONTAINER: Final = 16
"""Of the file, on average; an empty dict takes one byte there and 200 in memory."""

_SIMPLE: Final = frozenset({str, bool, float, bytes, type(None)})
_INTEGERS: Final = range(-(2**63), 2**63)
"""Of larger ones, any number have the same hash, and a dict of them takes for ever."""

_LONGEST_KEY: Final = 8
_MOST_TUPLES: Final = 4096
"""Tuples of the same hash can be made, too: a dict of so many takes a moment all the same."""

_CONTAINERS: Final = frozenset({Series, list, tuple, set, frozenset})


class PickleError(Exception):
    """The stream is not a pickle of data; the message says what it holds instead."""


class Budget:
    """How much of the file was read, and what may be made of it.

    Args:
        stored: Bytes on the disk of a compressed stream; None where it is not compressed.
    """

    def __init__(self, stored: int | None) -> None:
        self.read = 0
        self._most = None if stored is None else _FREE_BYTES + _RATIO * stored
        self._containers = self._copied = 0

    def unpack(self, size: int) -> None:
        """Count bytes that came from the file."""
        self.read += size
        if self._most is not None and self.read > self._most:
            raise PickleError(f"it unpacks to more than {self._most:,} bytes, too many for results")

    def make(self) -> None:
        """Count a container."""
        self._containers += 1
        if self._containers > _FREE_CONTAINERS + self.read // _BYTES_A_CONTAINER:
            raise PickleError(f"it has {self._containers:,} empty or tiny parts, and no results")

    def copy(self, arguments: Sequence[Any]) -> None:
        """Count what a function copies: each part of a file once, so no more than it holds."""
        self._copied += sum(
            len(value)
            for value in arguments
            if isinstance(value, str | bytes | Mapping | list | tuple | set | frozenset)
        )
        if self._copied > self.read:
            raise PickleError("it copies the same part over and over")


def check_keys(keys: Sequence[Any], there: int = 0) -> None:
    """Check that keys of a dict, or items of a set, are quickly hashed and told apart.

    Args:
        keys: Texts, numbers, or flat tuples of them.
        there: How many the dict has already.

    Raises:
        PickleError: One is something else.
    """
    if _SIMPLE.issuperset(map(type, keys)):
        return
    tuples = 0
    for key in keys:
        if type(key) is tuple and len(key) <= _LONGEST_KEY:
            tuples += 1
            is_fit = all(map(_is_simple, key))
        else:
            is_fit = _is_simple(key)
        if not is_fit:
            raise PickleError(f"it has a {type(key).__name__} as a key, which no results have")
    if tuples and there + len(keys) > _MOST_TUPLES:
        raise PickleError(f"it has more than {_MOST_TUPLES:,} tuples as keys of one dict")


def _is_simple(key: Any) -> bool:
    return type(key) in _SIMPLE or (type(key) is int and key in _INTEGERS)


def check_shape(value: Any, read: int) -> None:
    """Check that a value can be walked through, compared and printed in reasonable time.

    Args:
        value: What was read.
        read: Bytes that it was read from.

    Raises:
        PickleError: It is too deep, contains itself, or is far larger than the file, because
            parts of it are the same object again and again.
    """
    most = _FREE_BYTES + _BYTES_A_CONTAINER * read
    sizes: dict[int, int | None] = {}  # of what has inner parts; None while they are counted
    path: list[tuple[int, Iterator[Any], int]] = []
    total, current = 0, value
    while True:
        size = sizes.get(id(current), _own_size(current))
        if size is None:
            raise PickleError("it contains itself")
        inner = () if id(current) in sizes else _inner(current)
        if inner:
            sizes[id(current)] = None
            path.append((id(current), iter(inner), total))
            total = 0
        total += size
        if total > most:
            raise PickleError("it repeats the same part over and over")
        if len(path) > _DEPTH:
            raise PickleError(f"it is nested deeper than {_DEPTH} levels")
        while path:
            key, parts, before = path[-1]
            found = next(parts, None)
            if found is not None:
                current = found
                break
            sizes[key] = total
            total += before
            path.pop()
        else:
            return


def _own_size(value: Any) -> int:
    return 1 + len(value) if type(value) in _CONTAINERS else 1


def _inner(value: Any) -> list[Any]:
    """Return the parts that have parts themselves; keys and items of sets are flat."""
    if isinstance(value, Series):
        return [part for part in value.plain_values() if type(part) in _CONTAINERS]
    if isinstance(value, list | tuple):
        return [part for part in value if type(part) in _CONTAINERS]
    return []


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Do not look for cycles in the block: there are none, and it takes most of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
