"""Mistakes in networks of spaces and of canonical forms, planted one at a time."""

from __future__ import annotations

import pytest
from planted import assert_found, held_against
from planted_spaces import (
    FIELDS,
    KIT,
    batch_mean,
    double_constant,
    first_slot_network,
    for_task,
    forward,
    having,
    hidden_layer,
    in_place,
    network_of,
    remembers,
    seeded,
    shared,
    size_bound,
    squeezing,
)

from balenas_core.testing import ToyArchitecture, ToySpace

MISTAKES = {
    "the network ignores its architecture": (
        type("P", (ToySpace,), {"network": network_of("conv-skip")}),
        "test_networks_follow_their_architecture",
        "one and the same|build it",
    ),
    "the network ignores its second slot": (
        type("P", (ToySpace,), {"network": first_slot_network}),
        "test_every_slot_matters_in_the_network",
        "every slot|build it from",
    ),
    "one network for all calls": (
        type("P", (ToySpace,), {"network": shared("network", {})}),
        "test_networks_of_one_architecture_are_independent_and_follow_the_seed",
        "build new layers",
    ),
    "the network seeds": (
        type("P", (ToySpace,), {"network": seeded("network")}),
        "test_networks_of_one_architecture_are_independent_and_follow_the_seed",
        "do not seed|seeds torch",
    ),
    "the network has three channels": (
        type("P", (ToySpace,), {"network": for_task("network", channels=3)}),
        "test_network_returns_logits",
        "channels",
    ),
    "the network has ten classes": (
        type("P", (ToySpace,), {"network": for_task("network", classes=10)}),
        "test_network_returns_logits",
        "from the task",
    ),
    "the network returns probabilities": (
        having(network=forward(lambda o, s, x: o(s, x).softmax(-1))),
        "test_network_returns_logits",
        "without softmax",
    ),
    "the network returns log-probabilities": (
        having(network=forward(lambda o, s, x: o(s, x).log_softmax(-1))),
        "test_network_returns_logits",
        "without log_softmax",
    ),
    "the network returns a pair": (
        having(network=forward(lambda o, s, x: (o(s, x), None))),
        "test_network_returns_logits",
        "tensor of logits",
    ),
    "the network squeezes": (
        having(network=forward(squeezing)),
        "test_evaluation_looks_at_one_image_at_a_time",
        "depend|RuntimeError|shape|must",
    ),
    "the network mixes images": (
        having(network=forward(batch_mean)),
        "test_evaluation_looks_at_one_image_at_a_time",
        "depend on the others",
    ),
    "the network remembers": (
        having(network=forward(remembers)),
        "test_networks_learn_and_forget_nothing_between_calls",
        "equal images|changes|depend",
    ),
    "the network hides a layer": (
        having(network=hidden_layer),
        "test_networks_state_is_complete",
        "plain lists",
    ),
    "the network changes its images": (
        having(network=forward(in_place)),
        "test_networks_learn_and_forget_nothing_between_calls",
        "out of place",
    ),
    "the network is fixed to 16 pixels": (
        having(network=forward(size_bound)),
        "test_network_returns_logits",
        "IndexError|size",
    ),
    "the network has a constant of float32": (
        having(network=double_constant),
        "test_canonical_form_computes_the_same",
        "double|dtype",
    ),
    "the network is frozen": (
        having(network=lambda n: n.requires_grad_(False)),
        "test_networks_learn_and_forget_nothing_between_calls",
        "gradient|grad",
    ),
    "canonical merges all": (
        having(canonical=lambda self, a: ToyArchitecture(("none", "none"))),
        "test_canonical_form_computes_the_same",
        "something else",
    ),
    "canonical merges some": (
        having(canonical=lambda self, a: ToyArchitecture((a.operations[0], "skip"))),
        "test_canonical_form_computes_the_same",
        "something else",
    ),
    "canonical goes in circles": (
        having(
            canonical=lambda self, a: (
                ToyArchitecture(a.operations[::-1])
                if a.operations[0] != a.operations[1] and "none" in a.operations
                else a
            )
        ),
        "test_canonical_form_is_its_own_canonical_form",
        "must be itself",
    ),
    "canonical returns text": (
        having(canonical=lambda self, a: str(a)),
        "test_canonical_form_is_its_own_canonical_form",
        "must return an arch",
    ),
    "simplified merges all": (
        having(simplified=lambda self, a: ToyArchitecture(("none", "none"))),
        "test_canonical_form_computes_the_same",
        "something else",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_and_explained(mistake, tmp_path):
    implementation, *expected = MISTAKES[mistake]
    assert_found(held_against(KIT, implementation, **FIELDS), *expected, tmp_path)
