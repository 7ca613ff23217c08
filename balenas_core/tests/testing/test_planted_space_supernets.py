"""Mistakes in supernets and inherited networks, planted one at a time."""

from __future__ import annotations

import pytest
import torch
from planted import assert_found, held_against
from planted_spaces import (
    FIELDS,
    KIT,
    WholeSupernet,
    detached,
    first_slot_only,
    for_task,
    forward,
    fresh_stem,
    hard,
    having,
    hidden_layer,
    ignores_a_choice,
    in_place,
    in_place_weights,
    inherit,
    normalised,
    own_logits,
    own_vectors,
    remembers,
    seeded,
    share_stem,
    shared,
    size_bound,
    softmaxed,
    unused_layer,
)

from balenas_core.testing import ToySpace

MISTAKES = {
    "the supernet owns logits": (
        having(supernet=own_logits),
        "test_supernet_owns_no_architecture_parameter_and_returns_logits",
        "belong to the distribution",
    ),
    "the supernet owns a vector for each slot": (
        having(supernet=own_vectors),
        "test_supernet_owns_no_architecture_parameter_and_returns_logits",
        "belong to the d",
    ),
    "the supernet has an unused layer": (
        having(supernet=unused_layer),
        "test_supernet_uses_all_of_its_parameters",
        "never used",
    ),
    "the supernet hides a layer": (
        having(supernet=hidden_layer),
        "test_supernet_at_one_hot_weights_is_the_inherited_network",
        "plain lists|copy every",
    ),
    "the supernet remembers": (
        having(supernet=forward(remembers)),
        "test_supernet_is_a_function_of_its_arguments",
        "earlier calls|changes",
    ),
    "the supernet ignores its weights": (
        having(
            supernet=forward(
                lambda o, s, x, w: o(s, x, {k: torch.full_like(v, 1 / 3) for k, v in w.items()})
            )
        ),
        "test_supernet_is_a_function_of_its_arguments",
        "no gradient in weights|ignores its weights",
    ),
    "the supernet uses one slot": (
        having(supernet=forward(first_slot_only)),
        "test_every_slot_and_choice_matters_in_the_supernet",
        "depends on",
    ),
    "the supernet ignores a choice": (
        having(supernet=forward(ignores_a_choice)),
        "test_supernet_at_one_hot_weights_is_the_inherited_network",
        "depends on|copy every weight",
    ),
    "the supernet detaches weights": (
        having(supernet=forward(detached)),
        "test_supernet_owns_no_architecture_parameter_and_returns_logits",
        "detach|does not req",
    ),
    "the supernet takes the argmax": (
        having(supernet=forward(hard)),
        "test_supernet_owns_no_architecture_parameter_and_returns_logits",
        "argmax|not require",
    ),
    "the supernet applies a softmax": (
        having(supernet=forward(softmaxed)),
        "test_supernet_at_one_hot_weights_is_the_inherited_network",
        "copy every weight",
    ),
    "the supernet divides by the sum of a row": (
        having(supernet=forward(normalised)),
        "test_supernet_takes_rows_of_zeros",
        "zero",
    ),
    "the supernet changes its images": (
        having(supernet=forward(in_place)),
        "test_supernet_is_a_function_of_its_arguments",
        "changes its images",
    ),
    "the supernet changes its weights": (
        having(supernet=forward(in_place_weights)),
        "test_supernet_is_a_function_of_its_arguments",
        r"changes weights|leaf|modified",
    ),
    "the supernet returns probabilities": (
        having(supernet=forward(lambda o, s, x, w: o(s, x, w).softmax(-1))),
        "test_supernet_owns_no_architecture_parameter_and_returns_logits",
        "without softmax",
    ),
    "the supernet has ten classes": (
        type("P", (ToySpace,), {"supernet": for_task("supernet", classes=10)}),
        "test_supernet_at_one_hot_weights_is_the_inherited_network",
        "from the task",
    ),
    "the supernet has three channels": (
        type("P", (ToySpace,), {"supernet": for_task("supernet", channels=3)}),
        "test_supernet_at_one_hot_weights_is_the_inherited_network",
        "channels",
    ),
    "the supernet seeds": (
        type("P", (ToySpace,), {"supernet": seeded("supernet")}),
        "test_supernet_has_its_weights_in_its_state_and_from_the_seed",
        "do not seed|seeds",
    ),
    "one supernet for all calls": (
        type("P", (ToySpace,), {"supernet": shared("supernet", {})}),
        "test_supernet_has_its_weights_in_its_state_and_from_the_seed",
        "build new|do not seed|equal",
    ),
    "the supernet is fixed to 16 pixels": (
        having(supernet=forward(size_bound)),
        "test_supernet_at_one_hot_weights_is_the_inherited_network",
        "IndexError|size",
    ),
    "inherit shares a layer": (
        having(inherit=inherit(share_stem)),
        "test_inherited_networks_are_copies_of_their_part",
        "copy them",
    ),
    "inherit forgets a layer": (
        having(inherit=inherit(fresh_stem)),
        "test_supernet_at_one_hot_weights_is_the_inherited_network",
        "copy every weight",
    ),
    "inherit freezes": (
        having(inherit=inherit(lambda n, s: n.requires_grad_(False))),
        "test_inherited_networks_are_copies_of_their_part",
        "froze",
    ),
    "inherit converts": (
        having(inherit=inherit(lambda n, s: n.float())),
        "test_inherited_networks_are_copies_of_their_part",
        "type of numbers|dtype",
    ),
    "inherit changes the supernet": (
        having(inherit=inherit(lambda n, s: s.stem.weight.data.mul_(0.5))),
        "test_inherited_networks_are_copies_of_their_part",
        "changes the supernet",
    ),
    "inherit switches the supernet's mode": (
        having(inherit=inherit(lambda n, s: s.eval())),
        "test_inherited_networks_are_copies_of_their_part",
        "changes the supernet",
    ),
    "inherit keeps everything": (
        having(inherit=lambda self, supernet, a: WholeSupernet(supernet, self.one_hot(a))),
        "test_inherited_networks_are_copies_of_their_part",
        "chosen part",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_and_explained(mistake, tmp_path):
    implementation, *expected = MISTAKES[mistake]
    assert_found(held_against(KIT, implementation, **FIELDS), *expected, tmp_path)
