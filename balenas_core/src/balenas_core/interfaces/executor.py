"""Executors: where independent pieces of work would run. Nothing runs through one yet."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Executor(ABC):
    """Maps a function over independent items, keeping their order.

    A plugin's implementation is called as ``Executor(options)``. No command of this version
    makes one: the configuration's ``executor`` is checked and kept, and changes nothing.
    """

    @abstractmethod
    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield ``function(item)`` for every item, in order."""


class LocalExecutor(Executor):
    """Takes one item after the other, in this process."""

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield ``function(item)`` for every item, in order."""
        return map(function, items)
