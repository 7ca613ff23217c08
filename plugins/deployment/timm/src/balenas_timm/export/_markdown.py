"""Markdown of text from outside: shown as it is, and never taken for markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from balenas_core.files import one_line, printable

_MARKUP = re.compile(r"([\\`*_\[\]|~$])")
_TICKS = re.compile("`+")


def text(value: str) -> str:
    """Return a text inside a line.

    Example:
        >>> text("a_b <script> | x")
        'a\\\\_b &lt;script&gt; \\\\| x'
    """
    return _MARKUP.sub(r"\\\1", escape(one_line(value), quote=False))


def code(value: str) -> str:
    """Return a text inside a line, set as code; also in a cell of a table.

    Example:
        >>> code("nb201")
        '`nb201`'
    """
    shown = one_line(value).replace("|", "\\|")
    if not shown.strip() or "`" in shown:
        ticks = "`" * (1 + _longest_run(shown))
        return f"{ticks} {shown} {ticks}"
    return f"`{shown}`"


def block(language: str, body: str) -> str:
    """Return lines set as code, which no line of them can end."""
    fence = "`" * max(3, 1 + _longest_run(body))
    return f"{fence}{language}\n{printable(body).rstrip()}\n{fence}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are Markdown."""
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _longest_run(value: str) -> int:
    return max(map(len, _TICKS.findall(value)), default=0)
