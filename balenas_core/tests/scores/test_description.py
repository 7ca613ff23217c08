"""Sizes of networks, layer by layer."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from balenas_core.scores.description import count_multiply_adds, describe_network


class TwoWays(nn.Module):
    """A convolution as a layer and as a function, the layer called twice."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1, bias=False)
        self.kernel = nn.Parameter(torch.ones(5, 2, 1, 1))
        self.norm = nn.BatchNorm2d(5)

    def forward(self, x):
        return self.norm(functional.conv2d(self.conv(self.conv(x)), self.kernel))


def test_a_convolution_costs_its_kernel_for_each_output_value_and_one_for_a_bias():
    network = nn.Conv2d(6, 4, 3, stride=2, padding=1, groups=2)
    described = describe_network(network, (6, 8, 8))
    assert described.multiply_adds == 4 * 4 * 4 * (3 * 3 * 3 + 1)
    assert described.parameters == 4 * 3 * 9 + 4


def test_layers_are_listed_in_the_order_in_which_they_run():
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 5))
    rows = [
        (layer.name, layer.kind, layer.output_shape, layer.parameters, layer.multiply_adds)
        for layer in describe_network(network, (1, 4, 4)).layers
    ]
    assert rows == [
        ("0", "Conv2d", (3, 2, 2), 30, 12 * 10),
        ("1", "ReLU", (3, 2, 2), 0, 0),
        ("2", "Flatten", (12,), 0, 0),
        ("3", "Linear", (5,), 65, 5 * 13),
    ]


def test_a_layer_that_runs_twice_counts_its_work_twice_and_its_parameters_once():
    rows = {layer.name: layer for layer in describe_network(TwoWays(), (2, 4, 4)).layers}
    assert rows["conv"].multiply_adds == 2 * 32 * 18
    assert rows["conv"].parameters == 36


def test_work_and_parameters_outside_of_layers_belong_to_what_contains_them():
    described = describe_network(TwoWays(), (2, 4, 4))
    last = described.layers[-1]
    assert (last.name, last.kind, last.parameters, last.multiply_adds) == ("", "TwoWays", 10, 160)
    assert sum(layer.parameters for layer in described.layers) == described.parameters == 56


def test_a_weight_that_two_layers_share_is_counted_once():
    network = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    network[1].weight = network[0].weight
    described = describe_network(network, (3,))
    assert [layer.parameters for layer in described.layers] == [9, 0]
    assert (described.parameters, described.multiply_adds) == (9, 18)


def test_unused_parameters_count_in_the_total_alone():
    network = TwoWays()
    network.unused = nn.Linear(2, 2)
    described = describe_network(network, (2, 4, 4))
    assert described.parameters == 62
    assert "unused" not in {layer.name for layer in described.layers}


def test_without_biases_the_count_is_half_of_what_torch_counts():
    network = nn.TransformerEncoderLayer(8, 2, 16, bias=False, batch_first=True).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 5, 8))
    assert counter.get_total_flops() > 0
    assert describe_network(network, (5, 8)).multiply_adds == counter.get_total_flops() / 2


@pytest.mark.parametrize("network", [TwoWays(), nn.Conv2d(2, 4, 1)], ids=["functional", "layer"])
def test_the_total_alone_is_that_of_the_description(network):
    expected = describe_network(network, (2, 4, 4)).multiply_adds
    assert count_multiply_adds(network, (2, 4, 4)) == expected > 0


def test_the_network_is_left_as_it_was():
    network = TwoWays().double().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    describe_network(network, (2, 4, 4))
    assert network.training
    assert not network._forward_hooks
    assert not network.conv._forward_pre_hooks
    torch.testing.assert_close(dict(network.state_dict()), before, rtol=0, atol=0)
