"""Selections and results as HTML for notebooks.

There is no script and no colour: text and drawings take those of the notebook, light or dark.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from balenas_core.drawing import draw_architecture

if TYPE_CHECKING:
    from balenas_core.result import SearchResult
    from balenas_core.selection import Selection

_MOST_CANDIDATES = 10


def result_html(result: SearchResult) -> str:
    """Return the choice with what is known of it, and the best candidates."""
    facts = [f"{phase} {seconds:.1f} s" for phase, seconds in result.seconds.items()]
    if result.validation_accuracy is not None:
        facts.insert(0, f"inherited validation accuracy {result.validation_accuracy:.2f} %")
    if result.run is not None:
        facts.append(f"run {result.run}")
    parts = [f"<p>{escape(', '.join(facts))}</p>"]
    if result.benchmark:
        columns = ("dataset", "metric", "value", "best", "regret", "rank", "of")
        rows = (
            (e.dataset, e.metric, e.value, e.best, e.regret, e.rank, e.total)
            for e in result.benchmark
        )
        parts.append(_table("Benchmark", columns, rows))
    return "\n".join([*_choice(result.selection), *parts, *_candidates(result.selection)])


def selection_html(selection: Selection) -> str:
    """Return the choice and the best candidates."""
    return "\n".join([*_choice(selection), *_candidates(selection)])


def _choice(selection: Selection) -> list[str]:
    architecture = selection.chosen.architecture
    return [
        f"<p><code>{escape(str(architecture))}</code></p>",
        f'<div style="overflow-x: auto">{draw_architecture(architecture)}</div>',
    ]


def _candidates(selection: Selection) -> list[str]:
    if len(selection.candidates) == 1:
        return []
    columns, rows = selection.table()
    shown = min(len(rows), _MOST_CANDIDATES)
    caption = f"The best {shown} of {len(rows)} candidates"
    return [_table(caption, columns, rows[:shown])]


def _table(caption: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
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
