"""Selectors whose memory is their own, however many selections share it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, overload

from balenas_core.interfaces.selection import (
    Measure,
    Measured,
    Selection,
    SelectionContext,
    Selector,
)
from balenas_core.plugins.selector_options import PoolOptions
from balenas_core.selectors._draws import Draw
from balenas_core.selectors._pool import PoolSelector, Ranking


@overload
def scoped(selector: PoolSelector, scope: str) -> PoolSelector: ...
@overload
def scoped(selector: Selector, scope: str) -> Selector: ...
def scoped(selector: Selector, scope: str) -> Selector:
    """Return a selector that remembers under keys beginning with ``scope``.

    Selections of one run share a memory: what a selector computes serves another only where
    both have the same scope, so that it must name everything that their numbers depend on. What
    candidates cost does not depend on the selector, and is shared by all.
    """
    if isinstance(selector, PoolSelector):
        return _ScopedPool(selector, scope)
    return _Scoped(selector, scope)


class _Scoped(Selector):
    def __init__(self, selector: Selector, scope: str) -> None:
        self._selector = selector
        self._scope = scope

    def select(self, context: SelectionContext) -> Selection:
        return self._selector.select(_within(context, self._scope))


class _ScopedPool(PoolSelector):
    def __init__(self, selector: PoolSelector, scope: str) -> None:
        self._selector = selector
        self._scope = scope

    @property
    def pool_options(self) -> PoolOptions:
        return self._selector.pool_options

    def rank(self, pool: Sequence[Draw], context: SelectionContext) -> Ranking:
        return self._selector.rank(pool, _within(context, self._scope))


def _within(context: SelectionContext, scope: str) -> SelectionContext:
    def remember(key: str, compute: Callable[[], Mapping[str, float]]) -> Mapping[str, float]:
        return context.remember(f"{scope}/{key}", compute)

    def execute(
        inner: SelectionContext, measure: Measure, items: Mapping[str, Any]
    ) -> Iterator[Measured]:
        del inner  # it would put the scope before the keys once more
        named = {f"{scope}/{key}": item for key, item in items.items()}
        return context.execute(context, measure, named)

    return replace(context, remember=remember, execute=execute)
