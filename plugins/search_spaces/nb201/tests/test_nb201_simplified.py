"""Cells without the operations that change nothing."""

import pytest
import torch
from hypothesis import given, strategies as st

from balenas_core.interfaces.space import Task
from balenas_core.random import generator, seeded
from balenas_space_nb201 import OPERATIONS, NB201Architecture, NB201Options, NB201Space
from balenas_space_nb201._architecture import all_architectures
from balenas_space_nb201._simplified import equivalence_class, pruned, simplified

ARCHITECTURES = st.lists(st.sampled_from(OPERATIONS), min_size=6, max_size=6).map(
    lambda names: NB201Architecture(tuple(names))
)


def test_the_9445_pruned_cells_are_4930_expressions():
    cells = {pruned(a) for a in all_architectures()}
    assert len(cells) == 9_445
    assert len({equivalence_class(cell)[0] for cell in cells}) == 4_930


def test_there_are_5425_classes_when_shared_results_are_told_from_equal_ones():
    assert len({simplified(a) for a in all_architectures()}) == 5_425


@given(ARCHITECTURES)
def test_the_simplest_form_is_its_own_and_as_large_as_the_pruned_cell(architecture):
    cell = simplified(architecture)
    assert simplified(cell) == cell
    assert pruned(cell) == cell
    for name in OPERATIONS[2:]:
        assert cell.operations.count(name) == pruned(architecture).operations.count(name)


@given(ARCHITECTURES)
def test_a_cell_without_a_path_becomes_empty(architecture):
    assert architecture.is_connected == any(
        name != "none" for name in simplified(architecture).operations
    )


def test_a_result_used_twice_is_not_two_results():
    twice, two = (
        NB201Space(NB201Options()).parse(text)
        for text in (
            "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|skip_connect~1|skip_connect~2|",
            "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|none~0|skip_connect~1|skip_connect~2|",
        )
    )
    assert equivalence_class(twice)[0] == equivalence_class(two)[0]
    assert simplified(twice) != simplified(two)


@pytest.mark.parametrize("seed", range(4))
def test_pruning_changes_no_logit(seed):
    space = NB201Space(NB201Options(channels=4))
    with seeded(0):
        supernet = space.supernet(Task((3, 8, 8), 4)).double()
    images = torch.randn(4, 3, 8, 8, generator=generator(seed), dtype=torch.float64)
    architecture = space.random(generator(seed))
    with torch.no_grad():
        full, small = (
            space.inherit(supernet, one)(images) for one in (architecture, pruned(architecture))
        )
    torch.testing.assert_close(full, small)
