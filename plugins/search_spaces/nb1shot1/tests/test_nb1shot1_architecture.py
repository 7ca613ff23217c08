import json
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from balenas_core.errors import ArchitectureError
from balenas_space_nb1shot1 import (
    NB1Shot1Architecture,
    NB1Shot1Options,
    NB1Shot1Space,
    module_hash,
    to_nb101,
)
from balenas_space_nb1shot1._architecture import all_architectures, position
from balenas_space_nb1shot1._topology import TOPOLOGIES

S1 = NB1Shot1Space(NB1Shot1Options())
TEXT = "conv3x3-bn-relu(0)|maxpool3x3(0,1)|conv1x1-bn-relu(0,2)|conv3x3-bn-relu(1,3)|output(0,4)"
CONV3, CONV1, POOL = "conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3"

seeds = st.integers(0, 2**31)
spaces = st.sampled_from(["s1", "s2", "s3"])


def drawn(seed, name):
    space = NB1Shot1Space(NB1Shot1Options(space=name))
    return space, space.random(torch.Generator().manual_seed(seed))


def test_sizes_are_the_papers():
    assert [t.size() for t in TOPOLOGIES.values()] == [14_580, 29_160, 1_312_200]


def test_s1_has_2685_cells_of_nas_bench_101():
    # Isomorphic cells are merged by canonical form first, as the hash is slow.
    distinct = {S1.canonical(a) for a in list(all_architectures(S1.topology))[::81]}
    assert len(distinct) > 30
    everything = {to_nb101(a).pruned() for a in all_architectures(S1.topology)}
    assert len({module_hash(cell) for cell in everything}) == 2_685


def test_logits_of_s1_are_24():
    assert [(d.name, d.shape) for d in S1.decisions] == [
        ("operations", (4, 3)),
        ("output", (1, 5)),
        ("input_3", (1, 3)),
        ("input_4", (1, 4)),
    ]
    names = [d.name for d in NB1Shot1Space(NB1Shot1Options(space="s3")).decisions]
    assert names[2:] == ["input_2", "input_3", "input_4", "input_5"]


@given(seeds, spaces)
def test_text_form_reads_back(seed, name):
    space, architecture = drawn(seed, name)
    assert space.parse(str(architecture)) == architecture


def test_text_form_is_the_documented_one():
    assert str(S1.parse(TEXT)) == TEXT


@settings(deadline=None, max_examples=50)
@given(seeds, spaces)
def test_canonical_form_is_idempotent_and_keeps_the_cell(seed, name):
    space, architecture = drawn(seed, name)
    once = space.canonical(architecture)
    assert space.canonical(once) == once
    hashes = [module_hash(to_nb101(a).pruned()) for a in (architecture, once)]
    assert hashes[0] == hashes[1]


@settings(deadline=None, max_examples=30)
@given(seeds)
def test_architectures_have_one_canonical_form_exactly_if_their_hashes_agree(seed):
    space, architecture = drawn(seed, "s1")
    for other in space.neighbors(architecture):
        same_cell = module_hash(to_nb101(architecture).pruned()) == module_hash(
            to_nb101(other).pruned()
        )
        assert (space.canonical(architecture) == space.canonical(other)) == same_cell


@settings(deadline=None, max_examples=20)
@given(seeds, spaces)
def test_neighbors_are_symmetric_and_in_the_space(seed, name):
    space, architecture = drawn(seed, name)
    neighbors = list(space.neighbors(architecture))
    assert len(set(neighbors)) == len(neighbors)
    assert architecture not in neighbors
    for neighbor in neighbors[::3]:
        assert space.parse(str(neighbor)) == neighbor
        assert architecture in list(space.neighbors(neighbor))


@pytest.mark.parametrize("name", ["s1", "s2"])
def test_the_space_yields_each_of_its_configurations_once(name):
    found = NB1Shot1Space(NB1Shot1Options(space=name))
    every = set(found.architectures())
    assert len(every) == found.size() == {"s1": 14_580, "s2": 29_160}[name]
    assert found.random(torch.Generator().manual_seed(0)) in every


def test_position_is_the_place_in_the_enumeration():
    for name in ("s1", "s2"):
        topology = TOPOLOGIES[name]
        for place, architecture in enumerate(all_architectures(topology)):
            if place % 997 == 0:
                assert position(architecture, topology) == place


def test_nas_bench_101_form_has_seven_vertices_and_is_pruned():
    cell = to_nb101(S1.parse(TEXT))
    assert len(cell.matrix) == 7
    assert cell.operations == (CONV3, POOL, CONV1, CONV3, CONV1)
    assert not any(row[5] for row in cell.matrix)
    pruned = cell.pruned()
    assert pruned.operations == (CONV3, POOL, CONV1, CONV3)
    loose = S1.parse(TEXT.replace("output(0,4)", "output(0,1)"))
    assert to_nb101(loose).pruned().matrix == ((0, 1, 1), (0, 0, 1), (0, 0, 0))


def test_discretize_keeps_the_largest_operation_and_parents():
    weights = {
        "operations": torch.tensor([[0.1, 0.8, 0.1], [0.5, 0.2, 0.3], [0, 0, 1.0], [0, 1.0, 0]]),
        "output": torch.tensor([[0.3, 0.1, 0.1, 0.1, 0.4]]),
        "input_3": torch.tensor([[0.4, 0.2, 0.4]]),
        "input_4": torch.tensor([[0.1, 0.3, 0.1, 0.5]]),
    }
    assert str(S1.discretize(weights)) == TEXT
    with pytest.raises(ArchitectureError, match=r"expected weights of shapes .*got \{\}"):
        S1.discretize({})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected operation(parent,...) at character 1, got ''"),
        (TEXT.replace("(0,1)", "(0;1)"), "at character 20, got 'maxpool3x3(0;1)'"),
        (TEXT.replace("maxpool3x3", "maxpool"), "'maxpool' at node 2. Did you mean 'maxpool3x3'?"),
        (TEXT.replace("output(0,4)", "output(0,5)"), "parents of node 5 must be nodes 0 to 4"),
        (TEXT.replace("(1,3)", "(3,1)"), "each once and in increasing order; got [3, 1]"),
        (TEXT.replace("(1,3)", "(1)"), "node 4 has 2 parents in space s1; got [1]"),
        (TEXT.replace("(0,4)", "(0,3,4)"), "the output has 2 parents in space s1"),
        (TEXT.rpartition("|")[0], "the last part must be output(parent,...)"),
        (TEXT.replace("|maxpool3x3(0,1)", ""), "parents of node 2 must be nodes 0 to 1"),
        ("conv3x3-bn-relu(0)|output(0)", "space s1 has 4 choice blocks; got 1"),
    ],
)
def test_malformed_text_is_refused_with_the_reason(text, message):
    with pytest.raises(ArchitectureError, match=re.escape(message)):
        S1.parse(text)


def test_number_of_parents_is_checked():
    with pytest.raises(ArchitectureError, match="parents of 1 nodes and of the output; got 1"):
        NB1Shot1Architecture((CONV3,), ((0,),))


def test_cell_graph_carries_the_operation_of_the_entered_node():
    cell = S1.parse(TEXT).cells()[0]
    assert [(e.source, e.operation) for e in cell.edges if e.target == "3"] == [
        ("input", CONV1),
        ("2", CONV1),
    ]
    assert cell.outputs == ("output",)


def _model_spec(architecture):
    cell = to_nb101(architecture)
    return [list(row) for row in cell.matrix], ["input", *cell.operations, "output"]


@pytest.mark.parametrize("name", ["s1", "s2", "s3"])
@given(seed=st.integers(0, 2**31))
def test_cells_of_nas_bench_101_are_read(name, seed):
    space = NB1Shot1Space(NB1Shot1Options(space=name))
    architecture = space.random(torch.Generator().manual_seed(seed))
    matrix, operations = _model_spec(architecture)
    plain = json.dumps({"module_adjacency": matrix, "module_operations": operations})
    for text in (
        f"ModelSpec(matrix={matrix}, ops={operations})",
        plain,
        f"adjacency_matrix={np.array(matrix)}\nnode_list={operations}",
        f"matrix={np.array(matrix, float)!r}, ops={operations}",
    ):
        assert space.parse(text) == architecture


@pytest.mark.parametrize(
    "text", [TEXT.replace("|", " | "), TEXT.replace(",", ", "), f"'{TEXT}',", f"\ufeff{TEXT}\n"]
)
def test_blanks_and_quotes_make_no_difference(text):
    assert str(S1.parse(text)) == TEXT


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[0, 1], [0, 0]]", "the text has no matrix"),
        ("matrix=[[0, 1], [0, 0]]", "the text has no ops"),
        ("matrix=[[0]], ops=['input', 'output']", "expected a matrix of 2 rows and columns"),
        ("matrix=[[0, 2], [0, 0]], ops=['input', 'output']", "got 2 in row 0, column 1"),
        ("matrix=[[0, 1], [1, 0]], ops=['input', 'output']", "got 1 in row 1, column 0"),
        ("matrix=[[0, 1], [0, 0]], ops=['input', 'out']", "end with 'output'; got ['input'] and"),
        ("matrix=[[0, 1], [0, 0]], ops=['input', 'output']", "has 4 nodes between input and"),
        ("matrix=[[0 0 0 0]], ops=[1]", "names of operations"),
        ("matrix=[" * 5000, "is too long"),
        ("matrix=[" + "[" * 4000 + "]" * 4000 + "], ops=[]", "cannot read the cell"),
    ],
)
def test_malformed_cells_of_nas_bench_101_are_refused(text, message):
    with pytest.raises(ArchitectureError, match=re.escape(message)):
        S1.parse(text)
