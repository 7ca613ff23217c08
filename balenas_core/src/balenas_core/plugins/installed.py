"""What installed distributions declare for balenas, read from their metadata alone.

``importlib.metadata.entry_points()`` raises where a single line of a single distribution is
malformed, and no program of that environment sees any plugin. Here each line is read on its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from balenas_core.plugins.plugin import GROUPS, HOOKS_GROUP
from balenas_core.plugins.suggest import did_you_mean

UNKNOWN = "(unknown)"
"""Stands for the name of a distribution whose metadata has none."""

_FILE = "entry_points.txt"
_KNOWN_GROUPS = frozenset({*GROUPS.values(), HOOKS_GROUP})
_NAME = re.compile(r"\w[\w.-]*")
_LONGEST_NAME = 64
_RESERVED = {"balenas.selectors": "auto", "balenas.proxies": "auto"}
"""Names that mean something else where a plugin of the group is named."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a distribution's entry points that concerns balenas, or that is malformed.

    Args:
        group: The entry-point group; empty for a malformed line.
        name: The name, or the line where it is malformed.
        value: What it points to.
        distribution: Name of the distribution.
        version: Its version; empty where its metadata has none.
        place: Folder of its metadata, where the name is not known; empty otherwise.
        fault: Why it cannot be used; None where nothing speaks against it.
    """

    group: str
    name: str
    value: str
    distribution: str
    version: str
    place: str = ""
    fault: str | None = None

    def load(self) -> object:
        """Import what the line points to; raises whatever the import raises."""
        return metadata.EntryPoint(self.name, self.value, self.group).load()

    @property
    def remedy(self) -> str:
        """What to do when it does not work."""
        return remedy(self.distribution, self.place)


def remedy(distribution: str, place: str = "") -> str:
    """Return what to do about a distribution that does not work."""
    if distribution == UNKNOWN:
        return f"Its metadata has no name: remove {place or 'it'}, and install it again."
    return (
        f"Update it with 'pip install -U {distribution}', "
        f"or remove it with 'pip uninstall {distribution}'."
    )


def name_of(distribution: metadata.Distribution) -> str | None:
    """Return the name of a distribution; None for what an interrupted install has left."""
    return _field(distribution, "Name")


def version_of(distribution: metadata.Distribution) -> str:
    """Return the version of a distribution; empty where its metadata has none."""
    return _field(distribution, "Version") or ""


def _field(distribution: metadata.Distribution, field: str) -> str | None:
    try:
        fields = distribution.metadata
    except (OSError, ValueError, KeyError):  # FileNotFoundError from importlib_metadata; no UTF-8
        return None
    value = fields[field] if fields is not None and field in fields else None
    return str(value).strip() or None if value is not None else None


def entries() -> list[Entry]:
    """Return what all installed distributions declare for balenas, importing nothing."""
    found: list[Entry] = []
    seen: set[str] = set()
    for distribution in metadata.distributions():
        try:
            text = distribution.read_text(_FILE) or ""
        except (OSError, ValueError) as error:
            found.append(_unreadable(distribution, error))
            continue
        lines = [line for line in _lines(text) if _concerns(*line)]
        if not lines or _is_shadowed(distribution, text, seen):
            continue
        name, version = name_of(distribution), version_of(distribution)
        place = "" if name else _place(distribution, text)
        named: set[tuple[str, str]] = set()
        for group, key, value in lines:
            fault = _fault(group, key, value)
            if fault is None and (group, key) in named:
                fault = f"its {_FILE} declares the name a second time"
            named.add((group, key))
            kept = "" if value is None else group
            found.append(Entry(kept, key, value or "", name or UNKNOWN, version, place, fault))
    return found


def _lines(text: str) -> Iterator[tuple[str, str, str | None]]:
    """Yield group, name and value of every line; the value of a malformed one is None."""
    group = ""
    for line in map(str.strip, text.splitlines()):
        if not line or line[0] in "#;":
            continue
        if line[0] == "[" and line[-1] == "]":
            group = line[1:-1].strip()
            continue
        name, equals, value = line.partition("=")
        yield group, name.strip() if equals else line, value.strip() if equals else None


def _concerns(group: str, name: str, value: str | None) -> bool:
    del name
    return value is None or group.lower().startswith("balenas")


def _fault(group: str, name: str, value: str | None) -> str | None:
    if value is None:
        place = f"in group {group!r}" if group else "outside of any group"
        return f"its {_FILE} has a line that is no 'name = package.module:attribute', {place}"
    if group not in _KNOWN_GROUPS:
        hint = did_you_mean(group.lower(), _KNOWN_GROUPS)
        return f"there is no entry-point group {group!r}.{hint}"
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        return (
            f"a name is made of letters, digits and '_', '-', '.', {_LONGEST_NAME} at most (got "
            f"{_shortened(name)!r}); its author has to rename it"
        )
    if _RESERVED.get(group) == name.lower():
        return f"the name {name!r} has a meaning of its own; its author has to rename it"
    if not metadata.EntryPoint.pattern.fullmatch(value):
        return f"its entry point is no 'package.module:attribute' (got {value!r})"
    return None


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[:20]}..."


def _is_shadowed(distribution: metadata.Distribution, text: str, seen: set[str]) -> bool:
    """Whether another folder of the same distribution comes first on the path.

    Such as a stale egg-info beside an editable install. Names are compared as pip does.
    """
    name = name_of(distribution)
    if name is None:
        return False
    key = re.sub(r"[-_.]+", "-", name).lower()
    if key in seen:
        return True
    seen.add(key)
    try:
        return (metadata.distribution(name).read_text(_FILE) or "") != text
    except (metadata.PackageNotFoundError, OSError, ValueError):
        return False  # its folder is called otherwise than its metadata


def _place(distribution: metadata.Distribution, text: str) -> str:
    """Return the metadata folder of a distribution that has no name."""
    site = Path(str(distribution.locate_file("")))
    for folder in sorted(site.glob("*-info")):
        file = folder / _FILE
        try:
            if file.is_file() and file.read_text(encoding="utf-8") == text:
                return str(folder)
        except (OSError, ValueError):
            continue
    return str(site)


def _unreadable(distribution: metadata.Distribution, error: Exception) -> Entry:
    name = name_of(distribution)
    place = "" if name else str(distribution.locate_file(""))
    fault = f"its {_FILE} cannot be read: {type(error).__name__}: {error}"
    return Entry("", _FILE, "", name or UNKNOWN, version_of(distribution), place, fault)
