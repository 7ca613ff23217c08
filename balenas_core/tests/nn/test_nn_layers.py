import pytest
import torch
from hypothesis import given, strategies as st
from torch import nn

from balenas_core.nn import (
    BatchNormMode,
    FactorizedReduce,
    MixedEdge,
    Pool,
    ReluConvNorm,
    dag_edges,
    drop_path,
    edge_weights,
)
from balenas_core.random import seeded

NORM = BatchNormMode(affine=False)


@given(st.integers(1, 3), st.integers(0, 5))
def test_dag_has_every_edge_from_an_earlier_node(inputs, nodes):
    edges = dag_edges(inputs, nodes)
    assert len(set(edges)) == sum(range(inputs, inputs + nodes))
    assert all(edge.source < edge.target >= inputs for edge in edges)
    assert list(edges) == sorted(edges, key=lambda edge: (edge.target, edge.source))


def test_batch_norm_mode_is_that_of_the_layer():
    layer = BatchNormMode(affine=False, uses_running_statistics=False).make(3)
    assert not layer.affine
    assert layer.running_mean is None
    assert BatchNormMode(momentum=0.003).make(3).momentum == 0.003


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 1)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_layers_of_stride_two_agree_on_the_size(size, channels):
    x = torch.randn(4, 2, *size, generator=torch.Generator().manual_seed(0))
    expected = (4, channels, -(-size[0] // 2), -(-size[1] // 2))
    assert FactorizedReduce((2, channels), norm=NORM)(x).shape == expected
    assert ReluConvNorm((2, channels), 3, stride=2, norm=NORM)(x).shape == expected
    assert Pool("max", stride=2)(x).shape[2:] == expected[2:]
    assert Pool("avg", stride=2)(x).shape[2:] == expected[2:]


def test_factorized_reduce_reads_even_and_odd_pixels():
    layer = FactorizedReduce((1, 2), norm=NORM).eval()
    nn.init.ones_(layer.conv.weight)
    nn.init.ones_(layer.conv_shifted.weight)
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    out = layer(x) * (1 + 1e-5) ** 0.5
    torch.testing.assert_close(out[0, 0], torch.tensor([[0.0, 2.0], [8.0, 10.0]]))
    torch.testing.assert_close(out[0, 1], torch.tensor([[5.0, 7.0], [13.0, 15.0]]))


def test_average_pool_leaves_padding_out():
    torch.testing.assert_close(Pool("avg")(torch.ones(1, 1, 4, 4)), torch.ones(1, 1, 4, 4))


def test_drop_path_zeroes_samples_and_keeps_the_mean():
    with seeded(0):
        out = drop_path(torch.ones(4000, 2, 1, 1), 0.25)
    per_sample = out[:, 0, 0, 0]
    torch.testing.assert_close(out[:, 1, 0, 0], per_sample)
    torch.testing.assert_close(per_sample.unique(), torch.tensor([0.0, 1 / 0.75]))
    assert abs(per_sample.mean().item() - 1) < 0.03


class Forbidden(nn.Module):
    def forward(self, x):
        raise AssertionError("an operation of weight zero was computed")


def test_mixed_edge_is_the_weighted_sum_and_skips_zero_weights():
    edge = MixedEdge(
        ("none", "same", "again", "never"),
        {"same": nn.Identity(), "again": nn.Upsample(scale_factor=1), "never": Forbidden()},
    )
    weights = torch.tensor([[0.5, 0.25, 0.125, 0.0], [1.0, 0.0, 0.0, 0.0]])
    x = torch.ones(1, 1, 2, 2)
    rows = edge_weights(weights)
    torch.testing.assert_close(edge(x, rows[0]), 0.375 * x)
    assert edge(x, rows[1]) is None


def test_copy_of_an_operation_shares_no_memory():
    edge = MixedEdge(("none", "conv"), {"conv": nn.Conv2d(1, 1, 1)})
    copied = edge.copy_of("conv")
    torch.testing.assert_close(copied.weight, edge.operations["conv"].weight, rtol=0, atol=0)
    assert copied.weight.data_ptr() != edge.operations["conv"].weight.data_ptr()
    assert edge.copy_of("none") is None
