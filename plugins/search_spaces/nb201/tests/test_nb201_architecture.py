import re

import pytest
from hypothesis import given, settings, strategies as st

from balenas_core.errors import ArchitectureError
from balenas_space_nb201 import OPERATIONS, NB201Architecture, NB201Options, NB201Space
from balenas_space_nb201._architecture import all_architectures, canonical, expression, parse

BEST = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+"
    "|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
)

architectures = st.tuples(*[st.sampled_from(OPERATIONS)] * 6).map(NB201Architecture)


def test_15284_of_15625_architectures_connect_input_and_output():
    everything = list(all_architectures())
    assert len(set(everything)) == 15_625
    assert sum(a.is_connected for a in everything) == 15_284


def test_there_are_12751_expressions_with_skip_as_identity_and_6466_without_none():
    assert len({expression(a, absent_none=False) for a in all_architectures()}) == 12_751
    assert len({expression(a) for a in all_architectures()}) == 6_466
    assert len({canonical(a) for a in all_architectures()}) == 6_466


@given(architectures)
def test_text_form_reads_back(architecture):
    assert parse(str(architecture)) == architecture


def test_text_form_is_the_benchmarks():
    assert str(parse(BEST)) == BEST
    assert str(parse(f"  {BEST}\n")) == BEST


@given(architectures)
def test_canonical_form_is_idempotent_and_keeps_the_expression(architecture):
    once = canonical(architecture)
    assert canonical(once) == once
    assert expression(once) == expression(architecture)


@settings(max_examples=20)
@given(architectures)
def test_neighbors_are_24_and_symmetric(architecture):
    space = NB201Space(NB201Options())
    neighbors = list(space.neighbors(architecture))
    assert len(set(neighbors)) == 24
    assert architecture not in neighbors
    assert all(architecture in list(space.neighbors(n)) for n in neighbors)


def test_cell_graph_leaves_none_out():
    cell = parse("|none~0|+|skip_connect~0|none~1|+|none~0|none~1|nor_conv_3x3~2|").cells()[0]
    assert [(e.source, e.target, e.operation) for e in cell.edges] == [
        ("0", "2", "skip_connect"),
        ("2", "3", "nor_conv_3x3"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected '|' at character 1 of '', got the end"),
        ("|nor_conv_3x3~0|+|none~0|", "unknown operation '' at character 26"),
        (BEST.replace("skip_connect", "skip_conect"), "Did you mean 'skip_connect'?"),
        (BEST.replace("~2|", "~1|"), "expected '~2|' at character 93"),
        (BEST + "+|none~0|", "expected the end of the architecture at character 96"),
        (BEST.replace("+", "-"), "expected '+|' at character 17"),
    ],
)
def test_malformed_text_is_refused_with_its_place(text, message):
    with pytest.raises(ArchitectureError, match=re.escape(message)):
        parse(text)


def test_wrong_number_of_operations_is_refused():
    with pytest.raises(ArchitectureError, match=r"has 6 operations.*got 2"):
        NB201Architecture(("none", "none"))


@pytest.mark.parametrize(
    "text",
    [
        BEST.replace("|", " | "),
        BEST.replace("+", "+\n  "),
        f"'{BEST}'",
        f'"{BEST}",',
        f"\ufeff{BEST}",
        f"genotype : {BEST}",
        f"Structure(4 nodes with {BEST})",
    ],
)
def test_cells_are_read_as_programs_print_them(text):
    assert str(parse(text)) == BEST


def test_a_number_is_read_by_the_installed_benchmark(monkeypatch):
    space = NB201Space(NB201Options())
    benchmark = space.benchmark()
    if benchmark is not None:
        assert space.parse(" 7 ") == parse(benchmark.text(7))
        with pytest.raises(ArchitectureError, match=r"numbered 0 to 15624; got 111111111111\.\.\."):
            space.parse("1" * 5000)
    monkeypatch.setattr(NB201Space, "benchmark", lambda self: None)
    with pytest.raises(ArchitectureError, match="7 is a number in a benchmark, and none of this"):
        space.parse("7")
