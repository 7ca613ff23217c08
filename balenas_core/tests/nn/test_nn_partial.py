import pytest
import torch
from torch import nn

from balenas_core.nn import (
    BatchNormMode,
    MixedEdge,
    NodeSum,
    PartialOperation,
    Partition,
    Pool,
    ReluConvNorm,
    Source,
    edge_weights,
)
from balenas_core.random import seeded


def _edge(partition, *, stride=1, channels=8):
    width = channels // partition.parts
    norm = BatchNormMode(affine=False)
    with seeded(0):
        operations = {
            "pool": Pool("avg", stride=stride),
            "conv": ReluConvNorm((width, width), 3, stride=stride, norm=norm),
        }
        if stride == 1:
            operations["skip"] = nn.Identity()
        return MixedEdge(("none", "pool", "skip", "conv"), operations, partition).double()


def _images(size=6):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 8, size, size, dtype=torch.float64, generator=generator)


def test_what_passes_by_is_untouched_and_shuffled():
    # Channels 0..7 in 4 parts: 0 and 1 are seen (here doubled), 2..7 pass by. The shuffle reads
    # the columns of the rows (0 1) (2 3) (4 5) (6 7).
    x = torch.arange(8.0).view(1, 8, 1, 1)

    class Double(nn.Module):
        def forward(self, x):
            return 2 * x

    found = PartialOperation(Double(), Partition(4))(x).flatten().tolist()
    assert found == [0, 2, 4, 6, 2, 3, 5, 7]


@pytest.mark.parametrize("size", [6, 5])
def test_what_passes_by_a_stride_is_max_pooled(size):
    x = _images(size)
    expected = nn.functional.max_pool2d(x[:, 2:], 2, ceil_mode=True)
    torch.testing.assert_close(Partition(4, stride=2).passed(x), expected)


@pytest.mark.parametrize(("parts", "stride"), [(2, 1), (4, 1), (4, 2)])
def test_an_edge_equals_the_weighted_sum_of_partial_operations(parts, stride):
    edge = _edge(Partition(parts, stride), stride=stride)
    results = []
    for is_textbook in (False, True):
        x = _images().requires_grad_()
        row = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64, requires_grad=True)
        if is_textbook:
            total = sum(
                row[k] * edge.copy_of(name)(x)
                for k, name in enumerate(edge.choices)
                if edge.copy_of(name) is not None
            )
        else:
            total = edge(x, edge_weights(row[None])[0])
        gradients = torch.autograd.grad(total.sin().sum(), (x, row))
        results.append((total, *gradients))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)


def test_edges_of_one_node_share_its_split():
    edge, other = _edge(Partition(4)), _edge(Partition(4))
    x = _images()
    weights = edge_weights(torch.tensor([[0.0, 0.5, 0.2, 0.3]], dtype=torch.float64))[0]
    source, total = Source(x), NodeSum()
    edge.accumulate(source, weights, total)
    other.accumulate(source, weights, total)
    torch.testing.assert_close(total.result(), edge(x, weights) + other(x, weights))
    assert source.seen(Partition(4)) is source.seen(Partition(4))


def test_an_edge_of_none_passes_nothing():
    edge = _edge(Partition(4))
    weights = edge_weights(torch.tensor([[1.0, 0.0, 0.0, 0.0]], dtype=torch.float64))[0]
    assert edge(_images(), weights) is None
