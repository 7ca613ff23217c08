"""A configuration as it was read: values, and where each was written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from balenas_core.config._problems import Path

MAX_DEPTH = 64
"""Deepest nesting that is read; a real configuration has five levels."""

MAX_NODES = 20_000
"""Most values that are read, aliases counted as often as they are used."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem that has a line, and that leaves the rest of the file readable."""

    line: int
    path: Path
    message: str


@dataclass(slots=True)
class Document:
    """A parsed text.

    Args:
        data: Its values; duplicates keep the first.
        lines: 1-based line of every key path and list item.
        findings: What is wrong with it, apart from its values.
    """

    data: Any
    lines: dict[Path, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


class DocumentError(Exception):
    """A text that cannot be parsed.

    Args:
        message: What is wrong.
        line: 1-based, if known.
        column: 1-based, if known.
    """

    def __init__(self, message: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column
