import math

import pytest
import torch
from torch import nn

from balenas_core.interfaces.proxy import Batch
from balenas_core.scores.probing import (
    batch_for,
    bypass_batch_norm,
    layer_weights,
    preserved,
    score_or_worst,
    weight_layers,
)


def _network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5)
        )


def _do_all_kinds_of_harm(network):
    network.double().train()
    network[0].weight.requires_grad_(False).zero_()
    network[0].weight.requires_grad_(True)
    network[1].running_mean.add_(3)
    network[1].num_batches_tracked += 1
    network(torch.randn(2, 3, 5, 5, dtype=torch.float64)).sum().backward()
    network[0].register_forward_hook(lambda *_: None)
    network[0].register_forward_pre_hook(lambda *_: None, with_kwargs=True)
    network[0].register_full_backward_hook(lambda *_: None)
    network[2].forward = lambda x: x
    network[2].note = "new"
    network[0].stride = (2, 2)
    network[3] = nn.Identity()
    network.append(nn.ReLU())
    network[1].register_buffer("extra", torch.zeros(1))
    network[1].running_var = None
    network[1].weight = nn.Parameter(torch.zeros(9))


def _snapshot(network):
    return (
        list(network.modules()),
        [(name, id(p), p.dtype, p.requires_grad) for name, p in network.named_parameters()],
        [(name, id(b), b.dtype) for name, b in network.named_buffers()],
        [m.training for m in network.modules()],
        [sorted(vars(m)) for m in network.modules()],
        [(len(m._forward_hooks), len(m._backward_hooks)) for m in network.modules()],
        network[0].stride,
    )


@pytest.mark.parametrize("fails", [False, True])
def test_everything_returns_to_what_it_was(fails):
    network = _network()
    network[1].eval()
    network[0].weight.requires_grad_(False)
    network[1].weight.grad = grad = torch.full((4,), 2.0)
    network[2].register_forward_hook(lambda *_: None)
    before, values = _snapshot(network), {k: v.clone() for k, v in network.state_dict().items()}
    versions = [p._version for p in network.parameters()]

    def body():
        with preserved(network):
            _do_all_kinds_of_harm(network)
            if fails:
                raise KeyboardInterrupt

    if fails:
        with pytest.raises(KeyboardInterrupt):
            body()
    else:
        body()
    assert _snapshot(network) == before
    for key, value in network.state_dict().items():
        assert torch.equal(value, values[key]), key
    assert network[1].weight.grad is grad
    assert torch.equal(grad, torch.full((4,), 2.0))
    assert network[1].bias.grad is None
    assert [p._version for p in network.parameters()] == versions


def test_a_handle_from_outside_still_removes_its_hook_afterwards():
    network, calls = nn.Sequential(nn.ReLU()), []
    handle = network[0].register_forward_hook(lambda *_: calls.append(1))
    with preserved(network):
        network[0].register_forward_hook(lambda *_: calls.append(2))
    network(torch.ones(1))
    handle.remove()
    network(torch.ones(1))
    assert calls == [1]


def test_a_graph_that_the_caller_holds_can_still_be_differentiated():
    network = _network()
    loss = network(torch.ones(2, 3, 5, 5)).sum()
    with preserved(network):
        network[0].weight.requires_grad_(False).zero_()
    loss.backward()
    assert network[0].weight.grad is not None


def test_frozen_weights_have_gradients_inside():
    network = nn.Linear(2, 1)
    network.requires_grad_(False)
    with torch.no_grad(), preserved(network):
        network(torch.ones(1, 2)).sum().backward()
        torch.testing.assert_close(network.weight.grad, torch.ones(1, 2))
    assert network.weight.grad is None
    assert not network.weight.requires_grad


def test_a_shared_parameter_stays_shared_inside():
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    network[1].weight = network[0].weight
    with preserved(network):
        assert network[1].weight is network[0].weight
        assert len(layer_weights(network)) == 1
    assert network[1].weight is network[0].weight


def test_gradients_cannot_leak_through_references_beside_the_parameters():
    network = nn.RNN(2, 2)  # runs on a list of its parameters
    with preserved(network):
        network(torch.ones(1, 1, 2))[0].sum().backward()
    assert all(p.grad is None for p in network.parameters())


def test_copies_have_the_requested_type_and_counters_keep_theirs():
    network = _network()
    with preserved(network, dtype=torch.float64):
        assert network[0].weight.dtype == network[1].running_var.dtype == torch.float64
        assert network[1].num_batches_tracked.dtype == torch.int64
    assert network[0].weight.dtype == torch.float32


def test_dropout_is_the_same_every_time_and_the_global_stream_does_not_move():
    network, x = nn.Dropout(0.5), torch.ones(100)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with preserved(network):
        first = network(x)
    with preserved(network):
        second = network(x)
    with preserved(network, seed=1):
        third = network(x)
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
    assert torch.equal(torch.rand(3), expected)


def test_it_works_in_inference_mode():
    network = _network()
    with torch.inference_mode(), preserved(network):
        network(torch.ones(2, 3, 5, 5)).sum().backward()
        assert network[0].weight.grad is not None


def test_bypassed_batch_normalisation_passes_its_input_on():
    network, x = nn.Sequential(nn.BatchNorm2d(3)), torch.full((1, 3, 1, 1), 7.0)
    with preserved(network):
        bypass_batch_norm(network)
        assert torch.equal(network(x), x)
    assert "forward" not in vars(network[0])


def test_weight_layers_are_convolutions_and_linear_layers_once_each():
    layer = nn.Linear(2, 2)
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), layer, layer)
    assert weight_layers(network) == [network[0], layer]


def test_the_batch_takes_the_type_of_the_network_and_shares_no_memory():
    batch = Batch(torch.ones(2, 3), torch.zeros(2, dtype=torch.int64))
    for network in (nn.Linear(3, 1).double(), nn.Linear(3, 1), nn.ReLU()):
        images = batch_for(network, batch).images
        assert images.dtype == next((p.dtype for p in network.parameters()), torch.float32)
        assert images.data_ptr() != batch.images.data_ptr()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, torch.tensor(math.nan)])
def test_a_score_that_is_not_finite_is_the_worst(value):
    assert score_or_worst(value) == -math.inf


def test_a_finite_score_stays_itself():
    assert score_or_worst(torch.tensor(-2.5)) == -2.5
