"""What a page is made of. The template knows how each part looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Note:
    """A paragraph; one that warns stands out."""

    kind: ClassVar = "note"
    text: str
    is_warning: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """Terms and what they are."""

    kind: ClassVar = "facts"
    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Figures:
    """A few numbers that say most: each a label, a value, and what goes with it."""

    kind: ClassVar = "figures"
    rows: Sequence[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class Code:
    """Text as it is; ``label`` names it for who cannot see it."""

    kind: ClassVar = "code"
    text: str
    label: str


@dataclass(frozen=True, slots=True)
class Cell:
    """A table's cell.

    Args:
        text: What it shows.
        value: By what it is sorted, where that is not the text; None for what is missing.
        is_code: Whether it is to be read letter by letter.
        link: Where in the page it leads.
    """

    text: str
    value: float | None = None
    is_code: bool = False
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A table's column; of numbers, it is aligned right and sorted by value."""

    name: str
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a caption. The first cell of a row is its heading.

    Args:
        caption: What is in it.
        columns: Its columns.
        rows: A cell for every column.
        sorted_by: Column by which the rows come sorted; None where they cannot be sorted.
        marked: Rows that stand out.
    """

    kind: ClassVar = "table"
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    sorted_by: int | None = None
    marked: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of Vega-Lite.

    Args:
        title: Its caption.
        description: What it shows in words, for who cannot see it.
        spec: The specification, with its data.
        is_still: Whether there is nothing to point at.
    """

    title: str
    description: str
    spec: Mapping[str, Any]
    is_still: bool = False


@dataclass(frozen=True, slots=True)
class Charts:
    """Charts beside each other as far as there is room."""

    kind: ClassVar = "charts"
    charts: Sequence[Chart]


@dataclass(frozen=True, slots=True)
class Drawings:
    """Images in SVG that this program drew, each with its caption."""

    kind: ClassVar = "drawings"
    images: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Details:
    """What is shown when it is asked for."""

    kind: ClassVar = "details"
    summary: str
    parts: Sequence[Part]


@dataclass(frozen=True, slots=True)
class Section:
    """Parts under a heading, and sections under those."""

    kind: ClassVar = "section"
    title: str
    parts: Sequence[Part]
    anchor: str = ""
    status: str | None = None


Part = Note | Facts | Figures | Code | Table | Charts | Drawings | Details | Section


@dataclass(frozen=True, slots=True)
class Contents:
    """The whole page."""

    title: str
    subtitle: str
    parts: Sequence[Part]
