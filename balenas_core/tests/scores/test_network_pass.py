import pytest
import torch
from torch import nn
from torch.nn import functional

from balenas_core.interfaces.proxy import Batch, Proxy
from balenas_core.scores.network_pass import NetworkPass, PassProxy, score_many, score_pass


def _batch():
    generator = torch.Generator().manual_seed(0)
    return Batch(torch.randn(4, 3, generator=generator), torch.tensor([0, 1, 0, 1]))


class _Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.calls = []

    def forward(self, x):
        self.calls.append((self.training, x.requires_grad))
        return self.linear(x)


class _WeightGradient(PassProxy):
    needs_gradients = True

    def attach(self, run):
        return lambda: float(run.weight_gradients[0].sum())


class _InputGradient(PassProxy):
    needs_gradients = True

    def attach(self, run):
        return lambda: float(run.input_gradients.sum())


class _LogitSum(PassProxy):
    def attach(self, run):
        return lambda: float(run.logits.detach().sum())


class _Weight(Proxy):
    def score(self, network, batch):
        return float(network.linear.weight.detach().sum())


def test_proxies_share_one_forward_pass_in_training_mode():
    network = _Counting().eval()
    proxies = {"w": _WeightGradient(), "x": _InputGradient(), "l": _LogitSum(), "p": _Weight()}
    together = score_many(network, _batch(), proxies)
    assert network.calls == [(True, True)]
    assert not network.training
    assert list(together) == ["w", "x", "l", "p"]
    assert together == {name: p.score(network, _batch()) for name, p in proxies.items()}


def test_no_graph_is_built_when_no_proxy_needs_gradients():
    network = _Counting()
    _LogitSum().score(network, _batch())
    assert network.calls == [(True, False)]


def test_gradients_are_those_of_autograd():
    network, batch = nn.Linear(3, 2), _batch()
    images = batch.images.clone().requires_grad_()
    logits = network(images)
    expected = torch.autograd.grad(logits.sum(), images, retain_graph=True)[0]
    loss = functional.cross_entropy(logits, batch.labels)
    weight = torch.autograd.grad(loss, network.weight)[0]
    seen = []

    def attach(run: NetworkPass):
        def finish():
            seen.extend([run.input_gradients, run.weight_gradients[0], run.loss.detach()])
            return 0.0

        return finish

    score_pass(network, batch, attach)
    for got, want in zip(seen, (expected, weight, loss.detach()), strict=True):
        torch.testing.assert_close(got, want)


def test_a_tapped_tensor_gets_the_gradient_of_the_loss():
    network, seen = nn.Linear(3, 2), []

    def attach(run: NetworkPass):
        numbers = []
        network.register_forward_hook(lambda _m, _i, out: numbers.append(run.tap(out)))
        return lambda: seen.append(run.tap_gradient(numbers[0])) or 0.0

    score_pass(network, _batch(), attach)
    logits = network(_batch().images).detach().requires_grad_()
    functional.cross_entropy(logits, _batch().labels).backward()
    torch.testing.assert_close(seen[0], logits.grad)
    assert not network._forward_hooks


def test_another_loss_can_be_given():
    network = nn.Linear(3, 2)
    score = score_many(
        network, _batch(), {"w": _WeightGradient()}, loss=lambda logits, _: logits.sum()
    )["w"]
    assert score == pytest.approx(2 * float(_batch().images.sum()), rel=1e-5)


def test_a_network_without_graph_has_zero_input_gradients_and_no_weight_gradients():
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 2)

        def forward(self, x):
            return torch.zeros(len(x), 2)

    assert _InputGradient().score(Constant(), _batch()) == 0.0
    found = []
    score_pass(Constant(), _batch(), lambda run: lambda: found.extend(run.weight_gradients) or 0.0)
    assert found == [None]
