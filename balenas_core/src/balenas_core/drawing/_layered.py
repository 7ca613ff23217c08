"""Layered layout of a directed acyclic graph whose edges carry labels.

Nodes stand in every second column, each right of all its sources. An edge passes every column
between its ends in a place of its own, one of them as wide as its label, so that neither
lines nor labels run into a node or another label.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean

_SWEEPS = 12
_MOVES = 60


@dataclass(frozen=True, slots=True)
class Item:
    """Size of what stands in a column: a node, a label above its line, or a line."""

    width: float
    above: float
    below: float


@dataclass(frozen=True, slots=True)
class Stretch:
    """A horizontal line."""

    left: float
    right: float
    y: float


@dataclass(frozen=True, slots=True)
class Route:
    """The way of an edge.

    Args:
        stretches: Lines in each column from the source's right side to the target's left.
        labelled: Which of them carries the label.
    """

    stretches: tuple[Stretch, ...]
    labelled: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Nodes and routes of edges, in the order in which they were given.

    Args:
        nodes: The line through the middle of each node.
        routes: Way of each edge.
        width: Width of the whole.
        height: Height of the whole.
    """

    nodes: tuple[Stretch, ...]
    routes: tuple[Route, ...]
    width: float
    height: float


@dataclass(slots=True, eq=False)
class _Slot:
    """One item in one column, and its neighbours in the columns beside it."""

    item: Item
    column: int
    y: float = 0.0
    before: list[_Slot] = field(default_factory=list)
    after: list[_Slot] = field(default_factory=list)


def lay_out(
    nodes: Sequence[Item],
    edges: Sequence[tuple[int, int, Item]],
    *,
    inputs: int,
    line: Item,
    bend: float,
) -> Layout:
    """Place nodes and edges.

    The order within columns reduces crossings by the barycenter method; heights minimise
    squared differences along the edges, under the order and the sizes of the items.

    Args:
        nodes: Sizes of the nodes, sources first; the first ``inputs`` are inputs, the last is the
            output.
        edges: Source, target, and size of the label.
        inputs: Number of input nodes.
        line: Size of an edge where it passes a column.
        bend: Width between columns.

    References:
        Sugiyama, Tagawa and Toda 1981, "Methods for visual understanding of hierarchical
        system structures", IEEE SMC 11(2).
    """
    ranks = _ranks(len(nodes), edges, inputs)
    slots = [_Slot(item, 2 * rank) for item, rank in zip(nodes, ranks, strict=True)]
    chains = _chains(slots, edges, line)
    columns: list[list[_Slot]] = [[] for _ in range(2 * max(ranks) + 1)]
    for slot in itertools.chain(slots, *chains):
        columns[slot.column].append(slot)
    columns = _ordered(columns)
    _set_heights(columns)
    sides = list(_sides(columns, bend))
    labelled = [
        [slot.item for slot in c].index(edge[2]) for c, edge in zip(chains, edges, strict=True)
    ]
    return Layout(
        nodes=tuple(_node(slot, sides) for slot in slots),
        routes=tuple(
            Route(_stretches(slots[source], chain, slots[target], sides), 1 + label)
            for (source, target, _), chain, label in zip(edges, chains, labelled, strict=True)
        ),
        width=sides[-1][1],
        height=max(slot.y + slot.item.below for column in columns for slot in column),
    )


def _ranks(count: int, edges: Sequence[tuple[int, int, Item]], inputs: int) -> list[int]:
    """Return the length of the longest path to each node; 1 where nothing enters it.

    The last node, which nothing leaves, stands as far right as any.
    """
    ranks = [0 if node < inputs else 1 for node in range(count)]
    for node in range(count):
        for source, target, _ in edges:
            if target == node:
                ranks[node] = max(ranks[node], ranks[source] + 1)
    ranks[-1] = max(ranks)
    return ranks


def _chains(
    slots: list[_Slot], edges: Sequence[tuple[int, int, Item]], line: Item
) -> list[list[_Slot]]:
    """Return the slots between the ends of each edge; that of the label has its item."""
    labels = dict.fromkeys(range(max(slot.column for slot in slots) + 1), 0)
    chains = []
    for source, target, label in edges:
        columns = range(slots[source].column + 1, slots[target].column)
        # Labels stand between node columns, where there are fewest so far.
        home = min(columns[::2], key=lambda column: labels[column])
        labels[home] += label.width > 0
        chain = [_Slot(label if c == home else line, c) for c in columns]
        for before, after in itertools.pairwise([slots[source], *chain, slots[target]]):
            before.after.append(after)
            after.before.append(before)
        chains.append(chain)
    return chains


def _ordered(columns: list[list[_Slot]]) -> list[list[_Slot]]:
    """Return the columns in the order of fewest crossings among the sweeps."""
    best, fewest = columns, _crossings(columns)
    current = columns
    for sweep in range(_SWEEPS):
        current = [list(column) for column in current]
        is_forward = sweep % 2 == 0
        for index in range(len(current)) if is_forward else range(len(current) - 1, -1, -1):
            place = {id(slot): n for column in current for n, slot in enumerate(column)}
            current[index].sort(key=lambda slot: _barycenter(slot, place, is_forward))
        crossings = _crossings(current)
        if crossings < fewest:
            best, fewest = current, crossings
    return best


def _barycenter(slot: _Slot, place: dict[int, int], is_forward: bool) -> float:
    beside = slot.before if is_forward else slot.after
    if not beside:
        return place[id(slot)]
    return sum(place[id(other)] for other in beside) / len(beside)


def _crossings(columns: list[list[_Slot]]) -> int:
    count = 0
    for left, right in itertools.pairwise(columns):
        place = {id(slot): n for n, slot in enumerate(right)}
        ends = [sorted(place[id(other)] for other in slot.after) for slot in left]
        for upper, lower in itertools.combinations(ends, 2):
            count += sum(a > b for a in upper for b in lower)
    return count


def _set_heights(columns: list[list[_Slot]]) -> None:
    for column in columns:
        _separate(column, [0.0] * len(column))
    for move in range(_MOVES):
        for column in columns if move % 2 == 0 else reversed(columns):
            _separate(column, [fmean(other.y for other in _beside(slot)) for slot in column])
    top = min(slot.y - slot.item.above for column in columns for slot in column)
    for slot in itertools.chain(*columns):
        slot.y -= top


def _beside(slot: _Slot) -> list[_Slot]:
    return [*slot.before, *slot.after] or [slot]


def _separate(column: list[_Slot], wanted: list[float]) -> None:
    """Set the heights nearest to those wanted at which nothing overlaps.

    Nearest by squared distance times the number of lines, so that the squared differences
    along all lines fall with every call, if each wanted height is the mean of those beside it.
    With y_i = z_i + offset_i, offsets being the sizes of what is above, that is isotonic
    regression of z: pool adjacent violators.
    """
    steps = (upper.item.below + lower.item.above for upper, lower in itertools.pairwise(column))
    offsets = list(itertools.accumulate(steps, initial=0.0))
    pools: list[tuple[float, int, int]] = []  # mean, weight, members
    for slot, y, offset in zip(column, wanted, offsets, strict=False):
        mean, weight, members = y - offset, len(_beside(slot)), 1
        while pools and pools[-1][0] > mean:
            other, other_weight, others = pools.pop()
            mean = (mean * weight + other * other_weight) / (weight + other_weight)
            weight, members = weight + other_weight, members + others
        pools.append((mean, weight, members))
    levels = itertools.chain.from_iterable([mean] * members for mean, _, members in pools)
    for slot, level, offset in zip(column, levels, offsets, strict=False):
        slot.y = level + offset


def _sides(columns: list[list[_Slot]], bend: float) -> Iterator[tuple[float, float]]:
    x = 0.0
    for column in columns:
        width = max((slot.item.width for slot in column), default=0.0)
        yield x, x + width
        x += width + bend


def _node(slot: _Slot, sides: list[tuple[float, float]]) -> Stretch:
    middle, half = sum(sides[slot.column]) / 2, slot.item.width / 2
    return Stretch(middle - half, middle + half, slot.y)


def _stretches(
    source: _Slot, chain: list[_Slot], target: _Slot, sides: list[tuple[float, float]]
) -> tuple[Stretch, ...]:
    # Within a column every line is level: a bend there could run into another node.
    return (
        Stretch(_node(source, sides).right, sides[source.column][1], source.y),
        *(Stretch(*sides[slot.column], slot.y) for slot in chain),
        Stretch(sides[target.column][0], _node(target, sides).left, target.y),
    )
