"""Cells as SVG images: what they show, and that nothing covers anything else."""

import itertools
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings, strategies as st

from balenas_core.drawing import draw_architecture, draw_cell
from balenas_core.interfaces.architecture import Cell, Edge
from balenas_core.testing import ToyArchitecture

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def cell_of(edges, *, name="normal", inputs=("a",), nodes=("b", "c"), outputs=("c",)):
    return Cell(name, inputs, nodes, outputs, tuple(Edge(*edge) for edge in edges))


@st.composite
def cells(draw):
    """Cells of up to 2 inputs and 6 nodes, with parallel edges and nodes that nothing enters."""
    inputs, count = draw(st.integers(1, 2)), draw(st.integers(1, 6))
    names = [f"n{'x' * draw(st.integers(0, 8))}{index}" for index in range(inputs + count)]
    pairs = list(itertools.combinations(range(inputs + count), 2))
    pairs = [(source, target) for source, target in pairs if target >= inputs]
    chosen = draw(st.lists(st.sampled_from(pairs), max_size=14))
    edges = tuple(
        Edge(names[source], names[target], "operation"[: draw(st.integers(1, 9))])
        for source, target in chosen
    )
    outputs = draw(st.sets(st.sampled_from(names[inputs:]), min_size=1))
    return Cell(
        "drawn", tuple(names[:inputs]), tuple(names[inputs:]), tuple(sorted(outputs)), edges
    )


def boxes(svg):
    """Return (left, top, right, bottom) of every node, label and heading, shrunk by a pixel."""
    found = []

    def visit(element, dx, dy):
        match = re.match(r"translate\(([\d.]+) ([\d.]+)\)", element.get("transform", ""))
        if match:
            dx, dy = dx + float(match[1]), dy + float(match[2])
        if element.tag == f"{SVG}rect":
            x, y, width, height = (float(element.get(k)) for k in ("x", "y", "width", "height"))
            found.append(("node", x + dx, y + dy, x + dx + width, y + dy + height))
        if element.tag == f"{SVG}text":
            x, y = float(element.get("x")) + dx, float(element.get("y")) + dy
            width = 0.602 * 13 * len(element.text)  # DejaVu Sans Mono
            left = x if element.get("text-anchor") == "start" else x - width / 2
            found.append(("text", left, y - 10, left + width, y + 3))
        for child in element:
            visit(child, dx, dy)

    visit(ElementTree.fromstring(svg), 0.0, 0.0)
    return found


def curve_points(svg):
    """Return points on every line, in the coordinates of ``boxes``."""
    root = ElementTree.fromstring(svg)
    (outer,) = [g for g in root.iter(f"{SVG}g") if (g.get("transform") or "").startswith("tr")][:1]
    (inner,) = outer.findall(f"{SVG}g")
    dx, dy = (
        sum(float(g.get("transform")[10:-1].split()[axis]) for g in (outer, inner))
        for axis in (0, 1)
    )
    for path in inner.findall(f"{SVG}path"):
        if path.get("stroke") == "none":
            continue
        x = y = 0.0
        for command, arguments in re.findall(r"([MHC])([^MHC]*)", path.get("d")):
            numbers = [float(number) for number in arguments.split()]
            if command == "M":
                x, y = numbers
            elif command == "H":
                yield from ((x + (numbers[0] - x) * k / 8 + dx, y + dy) for k in range(9))
                x = numbers[0]
            else:
                controls = [(x, y), *zip(numbers[::2], numbers[1::2], strict=True)]
                for k in range(17):
                    t = k / 16
                    factors = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
                    px = sum(f * c[0] for f, c in zip(factors, controls, strict=True))
                    py = sum(f * c[1] for f, c in zip(factors, controls, strict=True))
                    yield px + dx, py + dy
                x, y = controls[-1]


@settings(max_examples=60, deadline=None)
@given(cells())
def test_no_node_or_label_covers_another_one(cell):
    found = boxes(draw_cell(cell))
    nodes = [box for kind, *box in found if kind == "node"]
    labels = [box for kind, *box in found if kind == "text"]
    in_nodes = [
        box
        for box in labels
        if any(
            n[0] <= box[0] and box[2] <= n[2] and n[1] <= box[1] and box[3] <= n[3] for n in nodes
        )
    ]
    assert len(in_nodes) == len(nodes)
    boxes_apart = [*nodes, *(box for box in labels if box not in in_nodes)]
    for one, other in itertools.combinations(boxes_apart, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


@settings(max_examples=60, deadline=None)
@given(cells())
def test_no_line_runs_through_a_node_or_a_label(cell):
    svg = draw_cell(cell)
    found = boxes(svg)
    for x, y in curve_points(svg):
        for _, left, top, right, bottom in found:
            assert not (left + 0.2 < x < right - 0.2 and top + 0.2 < y < bottom - 0.2)


@settings(max_examples=20, deadline=None)
@given(cells())
def test_everything_lies_within_the_image(cell):
    svg = draw_cell(cell)
    root = ElementTree.fromstring(svg)
    width, height = float(root.get("width")), float(root.get("height"))
    for _, left, top, right, bottom in boxes(svg):
        assert left >= 0
        assert top >= 0
        assert right <= width
        assert bottom <= height


def test_every_edge_carries_its_operation_and_leads_to_the_output():
    svg = draw_cell(cell_of([("a", "b", "conv"), ("a", "c", "skip"), ("b", "c", "pool")]))
    assert sorted(texts(svg)) == sorted(
        ["normal cell", "a", "b", "c", "output", "conv", "skip", "pool"]
    )
    assert svg.count('stroke-opacity="0.6"') == 4


def test_a_node_called_output_that_is_the_only_one_stands_for_it():
    svg = draw_cell(cell_of([("a", "output", "conv")], nodes=("output",), outputs=("output",)))
    assert sorted(texts(svg)) == ["a", "conv", "normal cell", "output"]


def test_a_node_that_nothing_enters_is_dashed():
    assert draw_cell(cell_of([("a", "c", "conv")])).count("stroke-dasharray") == 1
    assert "stroke-dasharray" not in draw_cell(cell_of([("a", "b", "x"), ("b", "c", "y")]))


def test_a_chain_is_drawn_as_a_straight_line():
    svg = draw_cell(cell_of([("a", "b", "conv"), ("b", "c", "a_longer_operation")]))
    assert not re.search(r'd="[^"]*C', svg)


def test_names_are_escaped_and_what_xml_forbids_is_replaced():
    svg = draw_cell(
        cell_of([("<a>", "b&c", '"x"\x00')], inputs=("<a>",), nodes=("b&c",), outputs=("b&c",))
    )
    assert {"<a>", "b&c", '"x"\ufffd'} <= set(texts(svg))


def test_who_cannot_see_the_image_is_told_what_it_shows():
    root = ElementTree.fromstring(draw_architecture(ToyArchitecture(("conv", "skip"))))
    assert root.get("role") == "img"
    assert root[0].tag == f"{SVG}title"
    assert root[0].text == "conv-skip"
    assert root[1].tag == f"{SVG}desc"
    assert root[1].text == (
        "toy cell: conv from in to middle, skip from middle to out; output out."
    )


def test_a_notebook_draws_cells_and_architectures_in_the_colour_of_its_text():
    architecture = ToyArchitecture(("conv", "skip"))
    assert architecture._repr_svg_() == draw_architecture(architecture)
    (cell,) = architecture.cells()
    assert cell._repr_svg_() == draw_cell(cell)
    colours = set(re.findall(r'(?:stroke|fill)="([^"]*)"', architecture._repr_svg_()))
    assert colours == {"none", "currentColor"}
    assert "CanvasText" not in architecture._repr_svg_()


def test_a_file_follows_the_theme_of_its_viewer():
    svg = draw_architecture(ToyArchitecture(("conv", "skip")), is_file=True)
    style = ElementTree.fromstring(svg).get("style")
    assert "color-scheme: light dark" in style
    assert "CanvasText" in style


@pytest.mark.parametrize("draw", [draw_cell, lambda cell: cell._repr_svg_()])
def test_the_same_cell_gives_the_same_image(draw):
    make = lambda: cell_of([("a", "b", "conv"), ("a", "c", "skip"), ("b", "c", "pool")])  # noqa: E731
    assert draw(make()) == draw(make())


def test_a_node_with_one_line_in_stands_at_its_height():
    edges = [("a", "b", "x"), ("a", "b", "y"), ("a", "b", "z"), ("a", "c", "w"), ("b", "c", "v")]
    svg = draw_cell(cell_of(edges))
    tops = [float(e.get("y")) for e in ElementTree.fromstring(svg).iter(f"{SVG}rect")]
    c, output = tops[-2:]
    assert output == pytest.approx(c, abs=0.2)


def test_the_output_stands_right_of_nodes_that_do_not_reach_it():
    edges = [("a", "b", "x"), ("a", "output", "y"), ("b", "c", "z")]
    svg = draw_cell(cell_of(edges, nodes=("b", "c", "output"), outputs=("output",)))
    lefts = [float(e.get("x")) for e in ElementTree.fromstring(svg).iter(f"{SVG}rect")]
    widths = [float(e.get("width")) for e in ElementTree.fromstring(svg).iter(f"{SVG}rect")]
    assert lefts[-1] + widths[-1] == max(x + w for x, w in zip(lefts, widths, strict=True))
