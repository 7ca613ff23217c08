import pytest
import torch

from balenas_core.errors import ArchitectureError
from balenas_core.interfaces.space import Task
from balenas_space_nb201 import NB201Architecture, NB201Options, NB201Space

CIFAR = Task((3, 32, 32), 10)
PAPER = NB201Space(NB201Options(channels=16, cells_per_stage=5))


def count(module):
    return sum(p.numel() for p in module.parameters())


def randomize(module, generator):
    """Give every parameter and buffer of a network values that nothing can hide behind."""
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if value.is_floating_point():
            noise = torch.rand(value.shape, generator=generator, dtype=value.dtype)
            with torch.no_grad():
                value.copy_(0.5 + noise if name.endswith("var") else noise - 0.5)


def test_supernet_has_1686106_weights():
    assert count(PAPER.supernet(CIFAR)) == 1_686_106


@pytest.mark.parametrize(
    ("operations", "classes", "parameters"),
    [
        (("nor_conv_3x3",) * 6, 10, 1_531_546),
        (("nor_conv_1x1",) * 6, 10, 241_306),
        (("skip_connect",) * 6, 10, 73_306),
        (("none",) * 6, 10, 73_306),
        (("nor_conv_3x3",) * 3 + ("skip_connect",) + ("nor_conv_3x3",) * 2, 10, 1_288_506),
        (("skip_connect",) * 6, 100, 73_306 + 5_850),
        (("skip_connect",) * 6, 120, 73_306 + 7_150),
    ],
)
def test_parameters_are_the_benchmarks(operations, classes, parameters):
    network = PAPER.network(NB201Architecture(operations), Task((3, 32, 32), classes))
    assert count(network) == parameters


@pytest.mark.parametrize("batch_norm", ["batch", "running"])
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("is_training", [False, True])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 7)])
def test_supernet_at_one_hot_equals_the_inherited_network(batch_norm, affine, is_training, shape):
    generator = torch.Generator().manual_seed(0)
    space = NB201Space(NB201Options(channels=3, batch_norm=batch_norm, affine=affine))
    supernet = space.supernet(Task(shape, 4)).double()
    randomize(supernet, generator)
    x = torch.randn((5, *shape), generator=generator, dtype=torch.float64)
    architectures = [space.random(generator) for _ in range(5)]
    architectures.append(NB201Architecture(("none",) * 6))
    architectures.append(NB201Architecture(("none",) * 5 + ("nor_conv_3x3",)))
    supernet.train(is_training)
    for architecture in architectures:
        network = space.inherit(supernet, architecture)
        assert not {p.data_ptr() for p in network.parameters()} & {
            p.data_ptr() for p in supernet.parameters()
        }
        expected = network(x)
        torch.testing.assert_close(
            supernet(x, space.one_hot(architecture)), expected, rtol=1e-12, atol=1e-12
        )


def test_gradient_reaches_every_architecture_weight_and_every_network_weight():
    space = NB201Space(NB201Options(channels=2))
    supernet = space.supernet(Task((3, 8, 8), 4))
    generator = torch.Generator().manual_seed(0)
    logits = torch.zeros(6, 5, requires_grad=True)
    x = torch.randn(4, 3, 8, 8, generator=generator)
    supernet(x, {"cell": logits.softmax(-1)}).square().sum().backward()
    assert (logits.grad != 0).all()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in supernet.parameters())


def test_discretize_undoes_one_hot_and_takes_the_argmax():
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        architecture = PAPER.random(generator)
        assert PAPER.discretize(PAPER.one_hot(architecture)) == architecture
    weights = torch.full((6, 5), 0.1)
    weights[:, 3] = 0.6
    assert PAPER.discretize({"cell": weights}).operations == ("nor_conv_3x3",) * 6


def test_discretize_refuses_weights_of_another_space():
    with pytest.raises(ArchitectureError, match=r"expected weights \{'cell': \(6, 5\)\}, got"):
        PAPER.discretize({"normal": torch.zeros(14, 8)})


def test_random_is_uniform_and_repeatable():
    first = [PAPER.random(torch.Generator().manual_seed(3)) for _ in range(2)]
    assert first[0] == first[1]
    generator = torch.Generator().manual_seed(0)
    drawn = [op for _ in range(1000) for op in PAPER.random(generator).operations]
    shares = [drawn.count(op) / len(drawn) for op in set(drawn)]
    assert len(shares) == 5
    assert max(abs(share - 0.2) for share in shares) < 0.025


def test_mutate_returns_a_neighbor():
    generator = torch.Generator().manual_seed(0)
    architecture = PAPER.random(generator)
    assert PAPER.mutate(architecture, generator) in list(PAPER.neighbors(architecture))


@pytest.mark.parametrize(
    ("cells", "for_proxies", "seen"), [(1, 5, 5), (1, 1, 1), (3, 2, 3), (5, 5, 5)]
)
def test_proxies_look_at_deep_networks(cells, for_proxies, seen):
    options = NB201Options(channels=4, cells_per_stage=cells, proxy_cells_per_stage=for_proxies)
    benchmark = PAPER.benchmark()
    space = NB201Space(options, benchmark=benchmark).for_proxies()
    assert (space.options.cells_per_stage, space.options.channels) == (seen, 4)
    assert space.benchmark() is benchmark
    assert space.for_proxies() is space
