import re
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings, strategies as st

from balenas_core.errors import ArchitectureError
from balenas_space_darts import PUBLISHED, DartsArchitecture, DartsCell, DartsOptions, DartsSpace

SPACE = DartsSpace(DartsOptions())
OTHER_NASNET = str(PUBLISHED["NASNET"]).replace("sep_conv_5x5", "sep_conv_3x3", 1)
V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
    "('dil_conv_3x3', 2)], normal_concat=range(2, 6), reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=range(2, 6))"
)
SPACES = ["darts", "s1", "s2", "s3", "s4", ("none", "skip_connect", "dil_conv_5x5")]

seeds = st.integers(0, 2**31)


def drawn(seed, operations="darts"):
    space = DartsSpace(DartsOptions(operations=operations))
    return space, space.random(torch.Generator().manual_seed(seed))


def test_published_darts_v2_has_the_published_text():
    assert str(PUBLISHED["DARTS_V2"]) == V2
    assert SPACE.parse(V2) == PUBLISHED["DARTS_V2"]
    assert SPACE.parse("darts_v2") == PUBLISHED["DARTS_V2"]


def test_both_spellings_of_the_concatenation_are_read():
    assert SPACE.parse(V2.replace("range(2, 6)", "[2, 3, 4, 5]")) == PUBLISHED["DARTS_V2"]
    text = str(PUBLISHED["AMOEBANET"])
    assert "normal_concat=range(4, 7)" in text
    assert "reduce_concat=[3, 4, 6]" in text


@given(seeds, st.sampled_from(SPACES))
def test_text_form_reads_back(seed, operations):
    space, architecture = drawn(seed, operations)
    assert space.parse(str(architecture)) == architecture


@settings(max_examples=15, deadline=None)
@given(seeds, st.sampled_from(SPACES))
def test_neighbors_are_distinct_symmetric_and_in_the_space(seed, operations):
    space, architecture = drawn(seed, operations)
    neighbors = list(space.neighbors(architecture))
    assert len(set(neighbors)) == len(neighbors)
    assert architecture not in neighbors
    for neighbor in neighbors[::7]:
        space.one_hot(neighbor)
        assert architecture in set(space.neighbors(neighbor))


def test_size_is_two_of_the_inputs_of_every_node_and_their_operations():
    inputs = 1 * 3 * 6 * 10
    assert DartsSpace(DartsOptions()).size() == (inputs * 7**8) ** 2
    for narrow in ("s1", "s2"):  # two operations an edge
        assert DartsSpace(DartsOptions(operations=narrow)).size() == (inputs * 2**8) ** 2


def test_full_space_has_132_neighbors():
    # 16 operations can change to 6 others each; inputs of nodes 3, 4, 5 to 1, 2, 3 others.
    _, architecture = drawn(0)
    assert len(list(SPACE.neighbors(architecture))) == 16 * 6 + 2 * 2 * (1 + 2 + 3)


@settings(deadline=None)
@given(seeds, st.sampled_from(SPACES))
def test_canonical_form_is_idempotent_and_in_the_space(seed, operations):
    space, architecture = drawn(seed, operations)
    once = space.canonical(architecture)
    assert space.canonical(once) == once
    assert space.parse(str(once)) == once


@settings(deadline=None)
@given(seeds)
def test_isomorphic_cells_have_one_canonical_form(seed):
    _, architecture = drawn(seed)
    expected = SPACE.canonical(architecture)
    for cell in architecture.normal.renumberings():
        swapped = DartsCell(tuple(cell.pairs[k ^ 1] for k in range(8)), cell.concat)
        assert SPACE.canonical(DartsArchitecture(swapped, architecture.reduce)) == expected


def test_renumbering_keeps_what_a_node_computes():
    # Nodes 2 and 3 both read the inputs only, so they can change places; node 4 follows them.
    cell = DartsCell(
        (
            ("skip_connect", 0),
            ("skip_connect", 1),
            ("max_pool_3x3", 0),
            ("max_pool_3x3", 1),
            ("sep_conv_3x3", 2),
            ("sep_conv_5x5", 3),
            ("skip_connect", 0),
            ("skip_connect", 4),
        ),
        (2, 3, 4, 5),
    )
    swapped = cell.renumbered((3, 2, 4, 5))
    assert swapped is not None
    assert swapped.pairs[:6] == (
        ("max_pool_3x3", 0),
        ("max_pool_3x3", 1),
        ("skip_connect", 0),
        ("skip_connect", 1),
        ("sep_conv_5x5", 2),
        ("sep_conv_3x3", 3),
    )
    assert cell.renumbered((4, 2, 3, 5)) is None


def test_cells_are_drawn_as_graphs():
    normal, reduce = PUBLISHED["DARTS_V2"].cells()
    assert (normal.name, reduce.name) == ("normal", "reduce")
    assert normal.outputs == ("2", "3", "4", "5")
    assert [(e.source, e.operation) for e in normal.edges if e.target == "5"] == [
        ("c_{k-2}", "skip_connect"),
        ("2", "dil_conv_3x3"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Genotype(", "cannot read the architecture at line 1, character 9"),
        ("[1, 2]", "expected Genotype(normal="),
        ("__import__('os').system('true')", "expected Genotype(normal="),
        (V2.replace("normal=", "normals=", 1), "expected the fields normal, normal_concat"),
        (
            V2[:-1] + ", normal=[])",
            "each once; got normal, normal_concat, reduce, reduce_concat, n",
        ),
        (V2.replace("sep_conv_3x3", "sep_conv_3", 1), "Did you mean 'sep_conv_3x3'?"),
        (V2.replace("dil_conv_3x3', 2", "dil_conv_3x3', 5"), "normal cell: node 5 takes input"),
        (V2.replace("'dil_conv_3x3', 2", "'none', 2"), "unknown operation 'none' at node 5"),
        (V2.replace("('dil_conv_3x3', 2)", "'dil'"), "expected ('operation', input) at character"),
        (V2.replace("dil_conv_3x3', 2", "dil_conv_3x3', -1"), "expected the number of a node"),
        (V2.replace("dil_conv_3x3', 2", "dil_conv_3x3', True"), "expected the number of a node"),
        (V2.replace(", ('dil_conv_3x3', 2)", ""), "two operations for each node; got 7"),
        (V2.replace("range(2, 6)", "range(2, 5)"), "concatenates nodes [2, 3, 4, 5]"),
        (V2.replace("range(2, 6)", "range(2, 10**9)"), "expected the number of a node"),
        (V2.replace("range(2, 6)", "range(2, 1000000000)"), "expected the nodes of the cell"),
        (V2.replace("range(2, 6)", "[2, 3, 4, 4]"), "each once and in increasing order"),
        (V2.replace("range(2, 6)", "'2345'"), "expected range(2, 6) or a list of nodes"),
        (OTHER_NASNET, "has 4 inner nodes; the normal cell has 5"),
        ("DARTS_V3", "no published architecture 'DARTS_V3'. Did you mean 'DARTS_V"),
        ("(" * 5000, "cannot read the architecture"),
        ("x" * 20000 + "(", "is too long"),
        ("", "cannot read the architecture"),
    ],
)
def test_malformed_text_is_refused_with_the_reason(text, message):
    with pytest.raises(ArchitectureError, match=re.escape(message)):
        SPACE.parse(text)


def test_operation_outside_the_option_is_refused():
    space = DartsSpace(DartsOptions(operations="s2"))
    other = V2.replace("('sep_conv_3x3', 0)", "('sep_conv_5x5', 0)", 1)
    with pytest.raises(ArchitectureError, match="'sep_conv_5x5' is not a candidate of edge 2<-0"):
        space.parse(other)


@pytest.mark.parametrize("operations", ["darts", "s2", ["max_pool_3x3"]])
@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_cell_is_read_from_its_own_text_wherever_its_name_is(name, operations):
    options = DartsOptions() if operations == "darts" else DartsOptions(operations=operations)
    space = DartsSpace(options)
    assert space.parse(name) == PUBLISHED[name]
    assert space.parse(str(space.parse(name))) == PUBLISHED[name]


def test_plugin_module_imports_no_torch():
    code = "import sys, balenas_space_darts as m; m.plugin; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "text",
    [
        f"genotype = {V2}",
        f"2030-01-02 03:04:05,678 genotype = {V2}",
        f"genotypes.{V2}",
        f"DARTS_V2 = {V2}  # second order",
        f"'{V2}'",
        repr(V2),
        repr(f"genotype = {V2}\n"),
        f"{V2},",
        f"\ufeff{V2}\r\n",
        V2.replace("2)", "np.int64(2))"),
        V2.replace("range(2, 6)", "list(range(2, 6))"),
        V2.replace("range(2, 6)", "np.arange(2, 6)"),
        V2.replace("range(2, 6)", "tensor([2, 3, 4, 5])"),
        V2.replace(", ", ",\n        "),
        V2.replace("sep_conv_3x3", "sep_\nconv_3x3"),
        V2.replace("'", '"'),
        V2.replace("('sep_conv_3x3', 0), ('sep_conv_3x3', 1)", "[['sep_conv_3x3', 0], ['sep_conv_3x3', 1]]"),  # noqa: E501
    ],
)  # fmt: skip
def test_genotypes_are_read_as_programs_print_them(text):
    assert SPACE.parse(text) == PUBLISHED["DARTS_V2"]


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("DARTS", "DARTS_V2"),
        ("PCDARTS", "PC_DARTS_CIFAR"),
        ("PC_DARTS", "PC_DARTS_CIFAR"),
        ("PC-DARTS", "PC_DARTS_CIFAR"),
        ("PC_DARTS_cifar", "PC_DARTS_CIFAR"),
        ("P-DARTS", "PDARTS"),
        ("'drnas',", "DRNAS_CIFAR10"),
        ("enas", "ENAS"),
    ],
)
def test_names_are_read_as_papers_and_programs_spell_them(name, known):
    assert SPACE.parse(name) == PUBLISHED[known]


def test_enas_is_the_cell_of_the_released_code():
    # index, operation, index, operation of each node, as cifar10_micro_final.sh has them.
    released = {
        "normal": "0 2 0 0  0 4 0 1  0 4 1 1  1 0 0 1  0 2 1 1",
        "reduce": "1 0 1 0  0 3 0 2  1 1 3 1  1 0 0 4  0 3 1 1",
    }
    names = ("sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3", "skip_connect")
    for kind, cell in PUBLISHED["ENAS"].by_kind():
        numbers = list(map(int, released[kind].split()))
        pairs = [(names[op], source) for source, op in zip(*[iter(numbers)] * 2, strict=True)]
        assert list(cell.pairs) == pairs
        used = {source for _, source in pairs}
        assert cell.concat == tuple(node for node in range(2, 7) if node not in used)


@pytest.mark.parametrize(
    "inside",
    ["(" * 9000, "-" * 9000 + "1)", "a." * 4500 + "a)", "list(" * 1500, "1+" * 4500 + "1)",
     "'" * 9000, "\x00)", "'\ud800')", "[('a', 9" + "9" * 5000 + ")])"],
)  # fmt: skip
def test_hostile_text_is_refused_without_being_evaluated(inside):
    with pytest.raises(ArchitectureError):
        SPACE.parse(f"Genotype(normal={inside}")


def test_one_genotype_is_read_at_a_time():
    with pytest.raises(ArchitectureError, match="holds 2 genotypes; give one"):
        SPACE.parse(f"A = {V2}\nB = {V2}")
