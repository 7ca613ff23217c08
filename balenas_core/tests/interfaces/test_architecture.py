"""Cells drawn as text."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from balenas_core import Cell, Edge

NAMES = st.text("abcdefgh_{}-0123456789", min_size=1, max_size=12)


def test_a_cell_is_drawn_with_brackets_at_every_sum():
    edges = (
        Edge("0", "1", "nor_conv_3x3"),
        Edge("0", "3", "skip_connect"),
        Edge("1", "3", "avg_pool_3x3"),
        Edge("2", "3", "nor_conv_1x1"),
    )
    assert Cell("cell", ("0",), ("1", "2", "3"), ("3",), edges).to_text().splitlines() == [
        "cell",
        "  0 ── nor_conv_3x3 ───▶ 1",
        "  nothing ─────────────▶ 2",
        "  0 ── skip_connect ─┐",
        "  1 ── avg_pool_3x3 ─┤",
        "  2 ── nor_conv_1x1 ─┴─▶ 3",
        "  3 ───────────────────▶ output",
    ]


def test_a_cell_without_operations_can_be_drawn():
    assert Cell("normal", ("0",), ("1",), ("1",), ()).to_text().splitlines()[0] == "normal cell"


@given(st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=6), st.integers(1, 3))
def test_every_arrow_head_stands_in_one_column(operations, per_node):
    edges = tuple(
        Edge(source, f"n{i // per_node}", name) for i, (source, name) in enumerate(operations)
    )
    nodes = tuple(dict.fromkeys(edge.target for edge in edges))
    lines = Cell("x", ("in",), nodes, nodes[-1:], edges).to_text().splitlines()
    assert len({line.index("▶") for line in lines if "▶" in line}) == 1
    assert sum("▶" in line for line in lines) == len(nodes) + 1
    assert all(f" {edge.operation} " in text for edge, text in zip(edges, lines[1:], strict=False))


@pytest.mark.parametrize("name", ["c_{k-2}", "0"])
def test_many_outputs_widen_nothing_but_their_line(name):
    edges = (Edge(name, "a", "op"),)
    lines = Cell("x", (name,), ("a",), ("a", "b", "c", "d", "e", "f"), edges).to_text().splitlines()
    assert lines[1].startswith(f"  {name} ── op ─")
    assert lines[-1].endswith("▶ output")


def test_a_node_called_output_needs_no_line_to_the_output():
    cell = Cell("cell", ("in",), ("output",), ("output",), (Edge("in", "output", "conv"),))
    assert cell.to_text().splitlines() == ["cell", "  in ── conv ───▶ output"]
