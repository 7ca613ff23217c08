"""Mistakes in architectures as values and their variation, planted one at a time."""

from __future__ import annotations

import itertools

import pytest
from planted import assert_found, faults, held_against
from planted_spaces import (
    FIELDS,
    KIT,
    OPERATIONS,
    Loose,
    Mutable,
    biased,
    by_seed,
    cell,
    decisions,
    far_neighbors,
    having,
    in_place_discretize,
    key_error_parse,
    lenient_after,
    lenient_parse,
    mutate_first,
    numpy_discretize,
    of,
    one_way_neighbors,
    sign_discretize,
    silent_parse,
    some_neighbors,
    with_cells,
    without_last,
)

from balenas_core.interfaces.architecture import Edge
from balenas_core.interfaces.space import Decision
from balenas_core.testing import ToyArchitecture, ToySpace

MISTAKES = {
    "one slot too many": (
        having(
            decisions=decisions(Decision("operations", ("first", "second", "third"), OPERATIONS))
        ),
        "test_one_hot_weights_are_zeros_and_ones_of_the_decisions_shape",
        "slots x|depends|one_hot",
    ),
    "a decision nothing reads": (
        having(
            decisions=decisions(
                Decision("operations", ("first", "second"), OPERATIONS),
                Decision("other", ("a",), ("x", "y")),
            )
        ),
        "test_one_hot_weights_are_zeros_and_ones_of_the_decisions_shape",
        "one_hot must have",
    ),
    "names of decisions repeat": (
        having(
            decisions=decisions(
                Decision("operations", ("first", "second"), OPERATIONS),
                Decision("operations", ("first", "second"), OPERATIONS),
            )
        ),
        "test_decisions_have_distinct_names_and_a_shape",
        "must differ",
    ),
    "choices repeat": (
        having(
            decisions=decisions(
                Decision("operations", ("first", "second"), ("none", "skip", "skip"))
            )
        ),
        "test_decisions_have_distinct_names_and_a_shape",
        "repeat",
    ),
    "a point in a name": (
        having(decisions=decisions(Decision("cell.operations", ("first", "second"), OPERATIONS))),
        "test_decisions_have_distinct_names_and_a_shape",
        "point",
    ),
    "decisions are a list": (
        having(
            decisions=property(
                lambda self: [Decision("operations", ("first", "second"), OPERATIONS)]
            )
        ),
        "test_decisions_have_distinct_names_and_a_shape",
        "tuple",
    ),
    "no decisions": (
        having(decisions=decisions()),
        "test_decisions_have_distinct_names_and_a_shape",
        "at least one decision",
    ),
    "parse accepts anything": (
        having(parse=lenient_parse),
        "test_nonsense_is_refused_with_an_architecture_error",
        "parse accepted",
    ),
    "parse ignores what follows": (
        having(parse=lenient_after),
        "test_damaged_text_is_no_silent_architecture",
        "every character",
    ),
    "parse raises ValueError": (
        having(parse=key_error_parse),
        "test_damaged_text_is_no_silent_architecture",
        "must raise ArchitectureError",
    ),
    "parse says nothing": (
        having(parse=silent_parse),
        "test_damaged_text_is_no_silent_architecture",
        "say in the error",
    ),
    "parse returns something else": (
        having(
            parse=lambda self, text: ToyArchitecture(ToySpace.parse(self, text).operations[::-1])
        ),
        "test_text_form_is_read_back",
        "must return the architecture",
    ),
    "random from the global generator": (
        having(random=lambda self, g: ToySpace.random(self, None)),
        "test_random_is_a_function_of_the_generator",
        "generator alone",
    ),
    "random by the seed": (
        having(random=by_seed),
        "test_random_is_a_function_of_the_generator",
        "all alike",
    ),
    "random is constant": (
        having(random=lambda self, g: ToyArchitecture(("skip", "conv"))),
        "test_random_is_a_function_of_the_generator",
        "same for every",
    ),
    "random leaves a choice out": (
        having(random=without_last),
        "test_random_reaches_every_choice_evenly",
        "draw from all choices",
    ),
    "random is biased": (
        having(random=biased),
        "test_random_reaches_every_choice_evenly",
        "draw uniformly|draw from all",
    ),
    "one_hot is of integers": (
        having(one_hot=lambda self, a: {k: w.long() for k, w in ToySpace.one_hot(self, a).items()}),
        "test_one_hot_weights_are_zeros_and_ones_of_the_decisions_shape",
        "one_hot is torch.int64|int64",
    ),
    "one_hot is a probability": (
        having(
            one_hot=lambda self, a: {k: 0.8 * w + 0.1 for k, w in ToySpace.one_hot(self, a).items()}
        ),
        "test_one_hot_weights_are_zeros_and_ones_of_the_decisions_shape",
        "not 0 or 1",
    ),
    "one_hot is shared": (
        having(one_hot=lambda self, a, made={}: made.setdefault(a, ToySpace.one_hot(self, a))),
        "test_one_hot_weights_are_zeros_and_ones_of_the_decisions_shape",
        "new tensors",
    ),
    "one_hot reverses the slots": (
        having(
            one_hot=lambda self, a: {k: w.flip(0) for k, w in ToySpace.one_hot(self, a).items()}
        ),
        "test_one_hot_weights_discretize_to_their_architecture",
        "must be a",
    ),
    "discretize takes the smallest": (
        having(discretize=sign_discretize),
        "test_one_hot_weights_discretize_to_their_architecture",
        "must be a|must win",
    ),
    "discretize changes its weights": (
        having(discretize=in_place_discretize),
        "test_discretize_reads_its_weights_and_leaves_them_alone",
        "work on copies",
    ),
    "discretize goes through numpy": (
        having(discretize=numpy_discretize),
        "test_discretize_reads_its_weights_and_leaves_them_alone",
        "requires grad",
    ),
    "discretize is constant": (
        having(discretize=lambda self, w: ToyArchitecture(("skip", "conv"))),
        "test_discretize_reads_its_weights_and_leaves_them_alone",
        "must be a|same what",
    ),
    "neighbors are left out": (
        having(neighbors=some_neighbors),
        "test_neighbors_differ_in_one_decision_and_are_complete",
        "leaves out|no neighbour|other way",
    ),
    "neighbors are too far": (
        having(neighbors=far_neighbors),
        "test_neighbors_differ_in_one_decision_and_are_complete",
        "more than one decision",
    ),
    "neighbors are one-way": (
        having(neighbors=one_way_neighbors),
        "test_neighbors_are_symmetric_and_mutations_are_neighbors",
        "other way|leaves out|none",
    ),
    "neighbors contain itself": (
        having(neighbors=lambda self, a: iter([a, *ToySpace.neighbors(self, a)])),
        "test_neighbors_are_symmetric_and_mutations_are_neighbors",
        "own neighbour",
    ),
    "neighbors come twice": (
        having(neighbors=lambda self, a: iter([*ToySpace.neighbors(self, a)] * 2)),
        "test_neighbors_are_symmetric_and_mutations_are_neighbors",
        "twice",
    ),
    "there are no neighbors": (
        having(neighbors=lambda self, a: iter(())),
        "test_neighbors_are_symmetric_and_mutations_are_neighbors",
        "there are none",
    ),
    "mutate changes nothing": (
        having(mutate=lambda self, a, g: a),
        "test_neighbors_are_symmetric_and_mutations_are_neighbors",
        "no neighbour",
    ),
    "mutate changes one slot": (
        having(mutate=mutate_first),
        "test_mutations_follow_the_generator_and_reach_every_slot",
        "never changed",
    ),
    "mutate from the global generator": (
        having(mutate=lambda self, a, g: ToySpace.mutate(self, a, None)),
        "test_mutations_follow_the_generator_and_reach_every_slot",
        "generator alone",
    ),
    "the size is wrong": (
        having(size=lambda self: 8),
        "test_architectures_come_once_each_and_are_as_many_as_the_size",
        r"size\(\) says 8",
    ),
    "the size is a float": (
        having(size=lambda self: 9.0),
        "test_architectures_come_once_each_and_are_as_many_as_the_size",
        "whole number",
    ),
    "architectures come twice": (
        having(architectures=lambda self: iter([*ToySpace.architectures(self)] * 2)),
        "test_architectures_come_once_each_and_are_as_many_as_the_size",
        "twice",
    ),
    "architectures are left out": (
        having(
            architectures=lambda self: itertools.islice(ToySpace.architectures(self), 8),
            size=lambda self: 8,
        ),
        "test_architectures_come_once_each_and_are_as_many_as_the_size",
        "leaves out|were drawn",
    ),
    "architectures are unhashable": (
        having(**of(Loose)),
        "test_architectures_are_immutable_values",
        "unhashable",
    ),
    "architectures can be changed": (
        having(**of(Mutable)),
        "test_architectures_are_immutable_values",
        "frozen=True",
    ),
    "cells are always the same": (
        with_cells(cell(Edge("in", "out", "conv"))),
        "test_cells_tell_architectures_apart",
        "same for every",
    ),
    "cells are empty": (
        with_cells(lambda self: ()),
        "test_cells_name_only_nodes_that_exist",
        "is empty",
    ),
    "cells name unknown nodes": (
        with_cells(cell(Edge("in", "nowhere", "conv"))),
        "test_cells_name_only_nodes_that_exist",
        "not listed",
    ),
    "cells run backwards": (
        with_cells(cell(Edge("out", "middle", "conv"))),
        "test_cells_name_only_nodes_that_exist",
        "backwards",
    ),
    "cells have unknown outputs": (
        with_cells(cell(Edge("in", "out", "conv"), outputs=("end",))),
        "test_cells_name_only_nodes_that_exist",
        "are no nodes",
    ),
}


def test_a_good_space_passes(tmp_path):
    assert faults(held_against(KIT, ToySpace, **FIELDS), tmp_path) == {}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_and_explained(mistake, tmp_path):
    implementation, *expected = MISTAKES[mistake]
    assert_found(held_against(KIT, implementation, **FIELDS), *expected, tmp_path)


def test_a_space_says_that_it_has_a_supernet(tmp_path):
    kit = held_against(KIT, ToySpace)
    assert_found(kit, "test_its_plugin_says_that_it_has_a_supernet", "provides=", tmp_path)
