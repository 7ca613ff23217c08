"""Levels of settings laid over each other, remembering where each value came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from balenas_core.config._problems import Path, Problem, dotted
from balenas_core.plugins.names import names_the_same

SECTION_KINDS: Mapping[str, str] = {
    "space": "space",
    "optimizer": "optimizer",
    "distribution": "distribution",
    "selector": "selector",
    "data": "dataset",
    "executor": "executor",
}
"""Key of a plugin's section -> kind of the plugin."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was written.

    Args:
        label: How messages name the place, without a line: ``search.yaml`` or ``--lr``.
        order: Level and position in it, by which problems are listed; then by line.
        path: The key that the place stands for; () for a file, which holds many.
        line: 1-based line in a file.
        repeats_key: Whether messages name the key even where it is ``path``.
    """

    label: str
    order: tuple[int, int]
    path: Path = ()
    line: int | None = None
    repeats_key: bool = True

    def describe(self, problem: Problem) -> str:
        """Return a problem as one line, with its place."""
        place = self.label if self.line is None else f"{self.label}:{self.line}"
        is_own_key = bool(self.path) and self._is_own(problem.path)
        path = self.path if is_own_key else problem.path
        key = "" if is_own_key and not self.repeats_key else dotted(path)
        message = " ".join(problem.message.split())
        return ": ".join(part for part in (place, key, message) if part)

    def _is_own(self, path: Path) -> bool:
        """Whether a problem at a path is with the value itself, not with something in it."""
        rest = path[len(self.path) :]
        is_item = not self.repeats_key and len(rest) == 1 and isinstance(rest[0], int)
        return path[: len(self.path)] == self.path and (rest in ((), ("name",)) or is_item)


@dataclass(slots=True)
class Layer:
    """Settings of one level, or of several merged ones."""

    data: dict[str, Any] = field(default_factory=dict)
    origins: dict[Path, Origin] = field(default_factory=dict)

    def origin(self, path: Path) -> Origin | None:
        """Return where the value at ``path``, or the nearest one around it, was written."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        return None

    def put(self, path: Path, value: Any, origin: Origin) -> None:
        """Set one value. What stands at the same level and does not contradict it stays."""
        for part in reversed(path):
            value = {part: value}
        upper = Layer(value, dict.fromkeys(_paths(value), origin))
        self._lay(upper, (), drops_options=False)

    def lay(self, upper: Layer) -> None:
        """Lay a higher level over this one.

        Where it changes the name in a plugin's section, the options of the section so far
        belong to another plugin and are dropped.
        """
        self._lay(upper, (), drops_options=True)

    def _lay(self, upper: Layer, path: Path, *, drops_options: bool) -> None:
        here, above = _node(self.data, path), _node(upper.data, path)
        for key in list(above):
            place = (*path, key)
            if _is_section(place):
                self._spell_out(place)
                upper._spell_out(place)
            value, old = above[key], here.get(key)
            if isinstance(value, Mapping) and isinstance(old, Mapping):
                renames = _is_section(place) and _renames(old, value)
                if not (renames and drops_options):
                    if "name" in value:
                        self.origins[place] = upper.origins[place]
                    self._lay(upper, place, drops_options=drops_options)
                    continue
            for stale in [p for p in self.origins if p[: len(place)] == place]:
                del self.origins[stale]
            here[key] = _copy(value)
            self.origins |= {
                p: origin for p, origin in upper.origins.items() if p[: len(place)] == place
            }

    def _spell_out(self, place: Path) -> None:
        """Turn a bare name into a mapping, so that options can join it."""
        key = str(place[0])
        name = self.data.get(key)
        if isinstance(name, str):
            self.data[key] = {"name": name}
            self.origins[*place, "name"] = self.origins[place]


def layer(data: Mapping[str, Any], origin: Origin, lines: Mapping[Path, int] = {}) -> Layer:
    """Return a level in which everything comes from one place, such as a file."""
    copied: dict[str, Any] = _copy(data)
    origins = {
        path: Origin(origin.label, origin.order, origin.path, lines.get(path), origin.repeats_key)
        for path in _paths(copied)
    }
    return Layer(copied, origins)


def _is_section(path: Path) -> bool:
    return len(path) == 1 and path[0] in SECTION_KINDS


def _renames(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    before, after = old.get("name"), new.get("name")
    if before is None or after is None:
        return False
    return not names_the_same(str(before), str(after))


def _node(data: dict[str, Any], path: Path) -> dict[str, Any]:
    for part in path:
        data = data[str(part)]
    return data


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _paths(value: Any, path: Path = ()) -> Iterator[Path]:
    items: Any = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    for key, item in items:
        yield (*path, key)
        yield from _paths(item, (*path, key))
