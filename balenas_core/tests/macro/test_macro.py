"""Macro spaces, on one whose blocks are 1x1 convolutions."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

from balenas_core.errors import ArchitectureError
from balenas_core.interfaces.space import Task
from balenas_core.macro import SKIP, LayerChoices, MacroArchitecture, MacroSpace
from balenas_core.nn import ClassifierHead
from balenas_core.random import generator, seeded
from balenas_core.testing import ToySpace

TASK = Task((2, 3, 3), 4)
FIRST = LayerChoices("first", ("relu", "tanh"))
OTHER = LayerChoices("others", ("relu", "tanh", SKIP))


class TwoStages(MacroSpace):
    """Two stages, of two and of three layers of 1x1 convolution and ReLU or tanh."""

    @property
    def stages(self):
        return (FIRST, OTHER), (FIRST, OTHER, OTHER)

    def stem(self, task):
        return nn.Conv2d(task.input_shape[0], 2, 1)

    def block(self, stage, layer, choice):
        assert choice != SKIP
        width = 2 if stage == 0 else 3
        before = width if layer or not stage else 2
        activation = nn.ReLU() if choice == "relu" else nn.Tanh()
        return nn.Sequential(nn.Conv2d(before, width, 1), activation)

    def head(self, task):
        return ClassifierHead(3, task.num_classes)


SPACE = TwoStages()
ARCHITECTURES = st.builds(
    lambda *chosen: MacroArchitecture((chosen[:2], chosen[2:])),
    *(st.sampled_from(layer.choices) for layer in itertools.chain(*SPACE.stages)),
)


def supernet(seed=0):
    with seeded(seed):
        return SPACE.supernet(TASK).double()


def images():
    return torch.randn(5, *TASK.input_shape, dtype=torch.float64, generator=generator(0))


def draw_weights(seed=0):
    return {
        d.name: torch.rand(
            d.shape, dtype=torch.float64, generator=generator(seed, d.name)
        ).requires_grad_()
        for d in SPACE.decisions
    }


def textbook(network, x, weights):
    """Sum every block of every layer, in the plainest way."""
    rows = [weights["first"][0], weights["others"][0], weights["first"][1], *weights["others"][1:]]
    x = network.stem(x)
    for layer, row in zip(network.layers.values(), rows, strict=True):
        terms = [layer.operations[choice](x) for choice in layer.choices]
        x = sum(w * term for w, term in zip(row, terms, strict=True))
    return network.head(x)


def test_layers_of_one_decision_are_its_slots():
    first, others = SPACE.decisions
    assert (first.name, first.slots, first.choices) == ("first", ("1.1", "2.1"), ("relu", "tanh"))
    assert (others.name, others.slots) == ("others", ("1.2", "2.2", "2.3"))


def test_the_supernet_sums_weighted_blocks_as_the_textbook_does():
    network, weights, x = supernet(), draw_weights(), images()
    expected = textbook(network, x, weights)
    result = network(x, weights)
    torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-12)
    wanted = [*network.parameters(), *weights.values()]
    torch.testing.assert_close(
        torch.autograd.grad(result.square().sum(), wanted),
        torch.autograd.grad(expected.square().sum(), wanted),
        rtol=1e-11,
        atol=1e-11,
    )


@settings(max_examples=20, deadline=None)
@given(ARCHITECTURES)
def test_the_supernet_at_one_hot_weights_is_the_inherited_network(architecture):
    network = supernet()
    weights = {name: table.double() for name, table in SPACE.one_hot(architecture).items()}
    inherited = SPACE.inherit(network, architecture)
    torch.testing.assert_close(
        inherited(images()), network(images(), weights), rtol=1e-12, atol=1e-12
    )
    assert len(inherited.blocks) == sum(c != SKIP for c in itertools.chain(*architecture.stages))


def test_an_inherited_network_shares_no_memory_with_the_supernet():
    network = supernet()
    inherited = SPACE.inherit(network, SPACE.parse("relu|tanh/relu|tanh|skip"))
    owned = {p.data_ptr() for p in network.parameters()}
    assert not owned & {p.data_ptr() for p in inherited.parameters()}


@settings(max_examples=30, deadline=None)
@given(ARCHITECTURES)
def test_text_form_and_one_hot_weights_lead_back_to_the_architecture(architecture):
    assert SPACE.parse(str(architecture)) == architecture
    assert SPACE.discretize(SPACE.one_hot(architecture)) == architecture


@settings(max_examples=30, deadline=None)
@given(ARCHITECTURES)
def test_the_canonical_form_has_the_same_blocks_in_the_same_order(architecture):
    canonical = SPACE.canonical(architecture)
    for before, after in zip(architecture.stages, canonical.stages, strict=True):
        assert [c for c in after if c != SKIP] == [c for c in before if c != SKIP]
        assert list(after) == sorted(after, key=lambda choice: choice == SKIP)
    assert SPACE.canonical(canonical) == canonical


def test_architectures_of_one_canonical_form_compute_the_same():
    one, other = SPACE.parse("relu|skip/tanh|skip|relu"), SPACE.parse("relu|skip/tanh|relu|skip")
    assert SPACE.canonical(one) == SPACE.canonical(other)
    networks = [SPACE.network(a, TASK).double() for a in (one, other)]
    tensors = zip(networks[0].state_dict(), networks[1].state_dict().values(), strict=True)
    networks[0].load_state_dict(dict(tensors))
    torch.testing.assert_close(networks[0](images()), networks[1](images()), rtol=0, atol=0)


@settings(max_examples=10, deadline=None)
@given(ARCHITECTURES)
def test_neighbors_differ_in_one_layer(architecture):
    neighbors = list(SPACE.neighbors(architecture))
    assert len(set(neighbors)) == len(neighbors) == 2 * 1 + 3 * 2
    chosen = list(itertools.chain(*architecture.stages))
    for neighbor in neighbors:
        pairs = zip(chosen, itertools.chain(*neighbor.stages), strict=True)
        assert sum(one != other for one, other in pairs) == 1


def test_architectures_are_counted_out():
    every = list(SPACE.architectures())
    assert len(set(every)) == len(every) == SPACE.size() == 2**2 * 3**3


def test_random_draws_reach_all_108_architectures():
    source = generator(0)
    assert len({SPACE.random(source) for _ in range(1500)}) == 2**2 * 3**3


def test_a_stage_is_a_chain_without_the_layers_left_out():
    first, second = SPACE.parse("relu|skip/tanh|skip|relu").cells()
    assert first.to_text() == "stage 1 cell\n  in ── relu ───▶ 1\n  1 ────────────▶ output"
    assert [(e.source, e.target, e.operation) for e in second.edges] == [
        ("in", "1", "tanh"),
        ("1", "3", "relu"),
    ]


def test_a_layer_without_weight_hands_on_zeros():
    network = supernet()
    weights = {name: w.detach().clone() for name, w in draw_weights().items()}
    handed_on = []
    network.layers["2_3"].register_forward_pre_hook(lambda layer, given: handed_on.append(given[0]))
    network(images(), weights)
    weights["others"][1] = 0.0
    network(images(), weights)
    assert handed_on[0].abs().sum() > 0
    assert handed_on[1].shape == handed_on[0].shape
    assert not handed_on[1].any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has 2 stages, written with '/' between them; got 1 in ''"),
        ("relu|tanh/relu|tanh", r"stage 2 has 3 layers, written with '\|' between them; got 2"),
        ("relu|tanh/relu|tanh|tan", "unknown block 'tan' in layer 2.3. Did you mean 'tanh'?"),
        ("skip|tanh/relu|tanh|tanh", "unknown block 'skip' in layer 1.1. Known: relu, tanh."),
    ],
)
def test_what_is_no_architecture_is_refused(text, message):
    with pytest.raises(ArchitectureError, match=message):
        SPACE.parse(text)


def test_an_architecture_of_another_space_is_refused_everywhere():
    other = MacroArchitecture((("relu",),))
    uses = [SPACE.one_hot, SPACE.canonical, lambda a: list(SPACE.neighbors(a))]
    for use in (*uses, lambda a: SPACE.network(a, TASK), lambda a: SPACE.inherit(supernet(), a)):
        with pytest.raises(ArchitectureError, match="this space has 2 stages"):
            use(other)


def test_weights_of_another_space_are_refused():
    with pytest.raises(ArchitectureError, match=r"expected weights of shapes .*'first': \(2, 2\)"):
        SPACE.discretize({"first": torch.zeros(2, 2)})


def test_a_supernet_of_another_space_is_refused():
    architecture = SPACE.random(generator(0))
    with pytest.raises(TypeError, match="expected a MacroSupernet, got ToySupernet"):
        SPACE.inherit(ToySpace().supernet(TASK), architecture)


def test_the_stages_of_a_network_are_the_stem_and_those_of_the_space():
    network = SPACE.network(SPACE.parse("relu|skip/tanh|skip|relu"), TASK)
    assert network.stages == (("stem",), ("blocks.1_1",), ("blocks.2_1", "blocks.2_3"))
    assert [x.shape[1] for x in network.forward_blocks(images().float())] == [2, 2, 3, 3]
