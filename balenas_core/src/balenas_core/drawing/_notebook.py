"""Parts of what results show in notebooks.

There is no script and no colour: text and drawings take those of the notebook, light or dark.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from balenas_core.drawing._graph import DrawnArchitecture
from balenas_core.drawing._svg import draw_architecture


def choice_html(architecture: DrawnArchitecture) -> str:
    """Return the text form of an architecture above its drawing."""
    return (
        f"<p><code>{escape(str(architecture))}</code></p>\n"
        f'<div style="overflow-x: auto">{draw_architecture(architecture)}</div>'
    )


def facts_html(facts: Iterable[str]) -> str:
    """Return facts as one line."""
    return f"<p>{escape(', '.join(facts))}</p>"


def table_html(caption: str, columns: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a table; None becomes an empty cell, numbers have six digits."""
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    body = "\n".join(
        f"<tr>{''.join(f'<td>{escape(_text(value))}</td>' for value in row)}</tr>" for row in rows
    )
    return (
        f'<div style="overflow-x: auto"><table><caption>{escape(caption)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
