"""Cells as SVG: layers from left to right, every edge labelled by its operation."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape

from balenas_core.drawing._graph import DrawnArchitecture, DrawnCell
from balenas_core.drawing._layered import Item, Layout, Stretch, lay_out

_FONT = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"
_FONT_SIZE = 13
_CHARACTER = 8.0  # width of a character of a monospaced font of this size, rounded up
_MARGIN = 12.0
_HEADING = 26.0
_NODE_HEIGHT = 26.0
_BASELINE = 4.0  # distance of a label from its line
_LINE = Item(0.0, 6.0, 6.0)
_BEND = 30.0  # width in which lines change their height
_ARROW = 8.0

# A file has no text around it whose colour it could take.
_FILE_STYLE = ' style="color-scheme: light dark; color: CanvasText"'
_INLINE_STYLE = ' style="max-width: 100%; height: auto"'
_FORBIDDEN_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def draw_architecture(architecture: DrawnArchitecture, *, is_file: bool = False) -> str:
    """Return the cells of an architecture as one SVG image, below each other.

    Args:
        architecture: What to draw; its text form becomes the image's title.
        is_file: Whether the image stands alone. It then follows the viewer's light or dark
            theme; otherwise it takes the colour of the text around it.
    """
    return _document(architecture.cells(), str(architecture), is_file=is_file)


def draw_cell(cell: DrawnCell, *, is_file: bool = False) -> str:
    """Return a cell as an SVG image.

    Args:
        cell: What to draw.
        is_file: As in ``draw_architecture``.
    """
    return _document((cell,), cell.heading, is_file=is_file)


def _document(cells: Iterable[DrawnCell], title: str, *, is_file: bool) -> str:
    parts = []
    width, height = 0.0, _MARGIN
    sentences = []
    for cell in cells:
        drawn = _Picture.of(cell)
        parts.append(f'<g transform="translate({_MARGIN:g} {height:g})">{drawn.svg}</g>')
        width = max(width, drawn.width)
        height += drawn.height + _MARGIN
        sentences.append(_sentence(cell))
    width += 2 * _MARGIN
    style = _FILE_STYLE if is_file else _INLINE_STYLE
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width:g}" '
            f'height="{height:g}" viewBox="0 0 {width:g} {height:g}"{style}>',
            f"<title>{_text(title)}</title>",
            f"<desc>{_text(' '.join(sentences))}</desc>",
            f'<g fill="none" stroke="currentColor" font-family="{_FONT}" '
            f'font-size="{_FONT_SIZE}" text-anchor="middle">',
            *parts,
            "</g>",
            "</svg>\n",
        ]
    )


def _sentence(cell: DrawnCell) -> str:
    """Say in words what the drawing shows, for who cannot see it."""
    edges = [f"{edge.operation} from {edge.source} to {edge.target}" for edge in cell.edges]
    return (
        f"{cell.heading}: {', '.join(edges) or 'no operation'}; output {', '.join(cell.outputs)}."
    )


@dataclass(frozen=True, slots=True)
class _Picture:
    svg: str
    width: float
    height: float

    @classmethod
    def of(cls, cell: DrawnCell) -> _Picture:
        """Draw a cell with its heading; its top left corner is at the origin."""
        names = [*cell.inputs, *cell.nodes]
        number = {name: index for index, name in enumerate(names)}
        edges = [(number[e.source], number[e.target], e.operation) for e in cell.edges]
        if cell.outputs != ("output",):
            edges += [(number[name], len(names), "") for name in cell.outputs]
            names.append("output")
        layout = lay_out(
            [Item(_width(name), _NODE_HEIGHT / 2 + 3, _NODE_HEIGHT / 2 + 3) for name in names],
            [(source, target, _label_item(label)) for source, target, label in edges],
            inputs=len(cell.inputs),
            line=_LINE,
            bend=_BEND,
        )
        reached = {*range(len(cell.inputs)), *(target for _, target, _ in edges)}
        shapes = [
            *_edges(layout, [label for *_, label in edges]),
            *_nodes(layout, names, [index not in reached for index in range(len(names))]),
        ]
        heading = (
            f'<text x="0" y="{_FONT_SIZE}" fill="currentColor" stroke="none" '
            f'font-weight="bold" text-anchor="start">{_text(cell.heading)}</text>'
        )
        graph = f'<g transform="translate(0 {_HEADING:g})">\n' + "\n".join(shapes) + "\n</g>"
        width = max(layout.width, len(cell.heading) * _CHARACTER)
        return cls(f"{heading}\n{graph}", width, layout.height + _HEADING)


def _nodes(layout: Layout, names: list[str], is_dashed: list[bool]) -> Iterator[str]:
    for name, node, dashed in zip(names, layout.nodes, is_dashed, strict=True):
        dash = ' stroke-dasharray="3 3"' if dashed else ""
        yield (
            f'<rect x="{node.left:.1f}" y="{node.y - _NODE_HEIGHT / 2:.1f}" '
            f'width="{node.right - node.left:.1f}" height="{_NODE_HEIGHT:g}" rx="6"{dash}/>'
        )
        yield _label(name, node, -0.35 * _FONT_SIZE)


def _edges(layout: Layout, labels: list[str]) -> Iterator[str]:
    for label, route in zip(labels, layout.routes, strict=True):
        first, *others = route.stretches
        path = [f"M{first.left:.1f} {first.y:.1f}H{first.right:.1f}"]
        for before, after in itertools.pairwise(route.stretches):
            is_last = after is others[-1]
            left = after.left - _ARROW if is_last else after.left
            path.append(_bend(before.right, before.y, left, after.y) + f"H{after.right:.1f}")
        tip = others[-1]
        yield f'<path d="{"".join(path)}" stroke-opacity="0.6"/>'
        yield (
            f'<path d="M{tip.right:.1f} {tip.y:.1f}l-{_ARROW:g} -4v8z" '
            'fill="currentColor" stroke="none"/>'
        )
        if label:
            yield _label(label, route.stretches[route.labelled], _BASELINE)


def _bend(x: float, y: float, to_x: float, to_y: float) -> str:
    if abs(y - to_y) < 0.05:
        return f"H{to_x:.1f}"
    middle = (x + to_x) / 2
    return f"C{middle:.1f} {y:.1f} {middle:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}"


def _label(text: str, line: Stretch, above: float) -> str:
    x, y = (line.left + line.right) / 2, line.y - above
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="currentColor" stroke="none">{_text(text)}</text>'


def _label_item(label: str) -> Item:
    return Item(_width(label), _BASELINE + _FONT_SIZE, _LINE.below) if label else _LINE


def _width(text: str) -> float:
    return (len(text) + 2) * _CHARACTER


def _text(text: str) -> str:
    """Escape a text; characters that no XML document may hold become U+FFFD."""
    return escape(_FORBIDDEN_IN_XML.sub("\ufffd", text))
