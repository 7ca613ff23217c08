import pydantic
import pytest
import torch

from balenas_core.errors import ArchitectureError
from balenas_core.interfaces.space import Task
from balenas_core.random import seeded
from balenas_space_darts import OPERATIONS, DartsArchitecture, DartsCell, DartsOptions, DartsSpace

CIFAR = Task((3, 32, 32), 10)
IMAGENET = Task((3, 224, 224), 1000)
RETRAIN = {"channels": 36, "cells": 20}
MOBILE = {"channels": 48, "cells": 14, "stem": "imagenet"}


def count(module):
    return sum(p.numel() for p in module.parameters())


def randomize(module, generator):
    """Give every buffer values that nothing can hide behind."""
    for name, value in module.named_buffers():
        if value.is_floating_point():
            noise = torch.rand(value.shape, generator=generator, dtype=value.dtype)
            value.copy_(0.5 + noise if name.endswith("var") else noise - 0.5)


def test_supernet_has_1930618_weights():
    assert count(DartsSpace(DartsOptions(channels=16, cells=8)).supernet(CIFAR)) == 1_930_618


@pytest.mark.parametrize(
    ("name", "options", "task", "parameters"),
    [
        ("DARTS_V1", RETRAIN, CIFAR, 3_169_414),
        ("DARTS_V2", RETRAIN, CIFAR, 3_349_342),
        ("DARTS_V2", RETRAIN | {"auxiliary": True}, CIFAR, 3_825_768),
        ("NASNET", RETRAIN, CIFAR, 3_830_950),
        ("AMOEBANET", RETRAIN, CIFAR, 3_145_078),
        ("DARTS_V1", MOBILE, IMAGENET, 4_510_432),
        ("DARTS_V2", MOBILE, IMAGENET, 4_718_752),
    ],
)
def test_parameters_are_the_published_ones(name, options, task, parameters):
    space = DartsSpace(DartsOptions(**options))
    assert count(space.network(space.parse(name), task)) == parameters


def test_logits_are_224_in_the_full_space():
    decisions = DartsSpace(DartsOptions()).decisions
    assert [(d.name, d.shape) for d in decisions] == [("normal", (14, 8)), ("reduce", (14, 8))]
    assert decisions[0].choices == OPERATIONS
    assert decisions[0].slots[:5] == ("2<-0", "2<-1", "3<-0", "3<-1", "3<-2")


def test_s1_has_one_decision_of_two_operations_for_each_edge():
    decisions = DartsSpace(DartsOptions(operations="s1")).decisions
    assert len(decisions) == 28
    assert {d.shape for d in decisions} == {(1, 2)}
    assert decisions[5].choices == ("max_pool_3x3", "skip_connect")


@pytest.mark.parametrize("is_training", [False, True])
@pytest.mark.parametrize(
    ("operations", "shape", "cells"),
    [("darts", (1, 8, 8), 4), ("darts", (3, 9, 7), 3), ("s1", (3, 8, 8), 3), ("s2", (1, 8, 8), 3)],
)
def test_supernet_at_one_hot_equals_the_inherited_network(operations, shape, cells, is_training):
    generator = torch.Generator().manual_seed(0)
    space = DartsSpace(DartsOptions(channels=3, cells=cells, operations=operations))
    supernet = space.supernet(Task(shape, 4)).double()
    randomize(supernet, generator)
    supernet.train(is_training)
    x = torch.randn((5, *shape), generator=generator, dtype=torch.float64)
    for _ in range(3):
        architecture = space.random(generator)
        network = space.inherit(supernet, architecture)
        assert not {p.data_ptr() for p in network.parameters()} & {
            p.data_ptr() for p in supernet.parameters()
        }
        expected = network(x)
        torch.testing.assert_close(
            supernet(x, space.one_hot(architecture)), expected, rtol=1e-12, atol=1e-12
        )


def test_node_that_uses_one_input_twice_counts_both_operations():
    space = DartsSpace(DartsOptions(channels=2, cells=3))
    twice = (("sep_conv_3x3", 0), ("skip_connect", 0)) * 2 + (("dil_conv_3x3", 1),) * 4
    cell = DartsCell(twice, (2, 3, 4, 5))
    architecture = DartsArchitecture(cell, cell)
    table = space.one_hot(architecture)["normal"]
    assert table[0].tolist() == [0, 0, 0, 1, 1, 0, 0, 0]
    assert table[6].tolist() == [0, 0, 0, 0, 0, 0, 2, 0]
    supernet = space.supernet(Task((3, 8, 8), 4)).double()
    x = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = space.inherit(supernet, architecture)(x)
    torch.testing.assert_close(supernet(x, space.one_hot(architecture)), expected)


def test_gradient_reaches_every_architecture_weight_and_every_network_weight():
    space = DartsSpace(DartsOptions(channels=2, cells=3))
    supernet = space.supernet(Task((3, 8, 8), 4))
    generator = torch.Generator().manual_seed(0)
    logits = {d.name: torch.zeros(d.shape, requires_grad=True) for d in space.decisions}
    x = torch.randn(4, 3, 8, 8, generator=generator)
    weights = {name: value.softmax(-1) for name, value in logits.items()}
    supernet(x, weights).square().sum().backward()
    assert all((value.grad != 0).all() for value in logits.values())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in supernet.parameters())


def test_discretize_keeps_the_two_strongest_edges_without_none():
    space = DartsSpace(DartsOptions())
    weights = torch.full((14, 8), 0.01)
    weights[:, 0] = 0.9
    for row, column, value in [(2, 4, 0.2), (4, 3, 0.3), (3, 5, 0.1), (13, 1, 0.5), (9, 7, 0.05)]:
        weights[row, column] = value
    architecture = space.discretize({"normal": weights, "reduce": weights})
    # Node 2: both edges; node 3 (rows 2 to 4): rows 4 and 2; node 5 (rows 9 to 13): 13 and 9.
    assert architecture.normal.pairs[2:4] == (("skip_connect", 2), ("sep_conv_3x3", 0))
    assert architecture.normal.pairs[6:8] == (("max_pool_3x3", 4), ("dil_conv_5x5", 0))
    assert architecture.normal == architecture.reduce


@pytest.mark.parametrize("operations", ["darts", "s1", "s2", "s3", "s4"])
def test_discretize_undoes_one_hot(operations):
    space = DartsSpace(DartsOptions(operations=operations))
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        architecture = space.random(generator)
        found = space.discretize(space.one_hot(architecture))
        assert space.canonical(found) == space.canonical(architecture)


def test_discretize_refuses_weights_of_another_space():
    space = DartsSpace(DartsOptions())
    with pytest.raises(ArchitectureError, match=r"expected weights of shapes .*got {'cell': \(6"):
        space.discretize({"cell": torch.zeros(6, 5)})


def test_random_inputs_are_uniform_over_pairs_of_nodes():
    space = DartsSpace(DartsOptions())
    generator = torch.Generator().manual_seed(0)
    drawn = [space.random(generator) for _ in range(600)]
    last = [tuple(source for _, source in a.normal.pairs[6:]) for a in drawn]
    assert len(set(last)) == 10
    assert max(abs(last.count(pair) / 600 - 0.1) for pair in set(last)) < 0.04
    assert all(first < second for first, second in last)
    names = [name for a in drawn for name, _ in a.reduce.pairs]
    assert max(abs(names.count(name) / 4800 - 1 / 7) for name in OPERATIONS[1:]) < 0.02


def test_random_and_mutate_repeat_with_the_generator():
    space = DartsSpace(DartsOptions())
    runs = []
    for _ in range(2):
        generator = torch.Generator().manual_seed(7)
        architecture = space.random(generator)
        runs.append((architecture, space.mutate(architecture, generator)))
    assert runs[0] == runs[1]
    assert runs[0][1] in list(space.neighbors(runs[0][0]))


def test_auxiliary_logits_are_returned_on_request_for_any_image_size():
    for size in (8, 32, 40):
        space = DartsSpace(DartsOptions(channels=2, cells=3, auxiliary=True))
        network = space.network(space.parse("DARTS_V1"), Task((3, size, size), 7))
        x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
        logits, auxiliary = network.forward_with_auxiliary(x)
        assert logits.shape == auxiliary.shape == (2, 7)
        assert network(x).shape == (2, 7)


def test_imagenet_stem_divides_the_image_by_8():
    space = DartsSpace(DartsOptions(channels=4, cells=3, stem="imagenet"))
    network = space.network(space.parse("DARTS_V1"), Task((3, 64, 64), 5))
    older, younger = network.stem(torch.zeros(2, 3, 64, 64))
    assert older.shape == (2, 4, 16, 16)
    assert younger.shape == (2, 4, 8, 8)
    supernet = space.supernet(Task((3, 64, 64), 5))
    assert supernet(torch.zeros(2, 3, 64, 64), space.one_hot(space.parse("DARTS_V1"))).shape == (
        2,
        5,
    )


def test_drop_path_drops_whole_operations_of_a_sample_in_training_only():
    space = DartsSpace(DartsOptions(channels=2, cells=3))
    network = space.network(space.parse("DARTS_V1"), Task((3, 8, 8), 4))
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    network.eval()
    expected = network(x)
    network.drop_path_prob = 0.5
    torch.testing.assert_close(network(x), expected, rtol=0, atol=0)
    network.train()
    with seeded(0):
        assert not torch.equal(network(x), network(x))


@pytest.mark.parametrize(
    "operations", ["s5", ("skip",), ("none",), ("skip_connect", "skip_connect"), ()]
)
def test_unusable_operations_are_refused(operations):
    with pytest.raises(pydantic.ValidationError):
        DartsOptions(operations=operations)
