"""One network scored by several proxies."""

import math

import pytest
import torch
from torch import nn

from balenas_core.interfaces.proxy import Batch, Proxy
from balenas_core.scores.network_pass import PassProxy
from balenas_core.scores.scoring import score_network

BATCH = Batch(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.arange(4) % 2)


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.passes = [0]

    def forward(self, x):
        self.passes[0] += 1
        return self.layer(x)


class LogitSum(PassProxy):
    def attach(self, run):
        return lambda: run.logits.sum().item()


class GradientNorm(PassProxy):
    needs_gradients = True

    def attach(self, run):
        return lambda: sum(g.norm().item() for g in run.weight_gradients)


class Fails(PassProxy):
    def attach(self, run):
        def finish():
            raise ZeroDivisionError("no units")

        return finish


class Draws(Proxy):
    def score(self, network, batch):
        return torch.rand(()).item()


class Nan(Proxy):
    def score(self, network, batch):
        return math.nan


def network():
    torch.manual_seed(0)
    return Counting()


def test_proxies_of_one_pass_share_it_and_score_as_alone():
    proxies = {"sum": LogitSum(), "norm": GradientNorm()}
    one = network()
    together = score_network(one, BATCH, proxies, seed=0)
    assert one.passes == [1]
    alone = {
        name: score_network(network(), BATCH, {name: proxy}, seed=0).scores[name]
        for name, proxy in proxies.items()
    }
    assert together.scores == pytest.approx(alone)
    assert not together.errors


def test_a_proxy_that_fails_in_a_shared_pass_takes_no_other_with_it():
    proxies = {"sum": LogitSum(), "fails": Fails(), "norm": GradientNorm()}
    found = score_network(network(), BATCH, proxies, seed=0)
    assert list(found.scores) == ["sum", "fails", "norm"]
    assert found.scores["fails"] == -math.inf
    assert math.isfinite(found.scores["sum"])
    assert math.isfinite(found.scores["norm"])
    assert list(found.errors) == ["fails"]
    assert str(found.errors["fails"]) == "no units"


def test_every_proxy_draws_from_the_same_seed_whatever_stands_beside_it():
    both = score_network(network(), BATCH, {"a": Draws(), "b": Draws()}, seed=3).scores
    alone = score_network(network(), BATCH, {"b": Draws()}, seed=3).scores
    assert both["a"] == both["b"] == alone["b"]
    assert alone != score_network(network(), BATCH, {"b": Draws()}, seed=4).scores


def test_nan_is_the_lowest_score_and_no_error():
    found = score_network(network(), BATCH, {"nan": Nan()}, seed=0)
    assert found.scores == {"nan": -math.inf}
    assert found.errors == {}


class Spoils(Proxy):
    def score(self, network, batch):
        for parameter in network.parameters():
            parameter.data.zero_()
        batch.images.zero_()
        return 1.0


def test_a_proxy_that_spoils_network_and_batch_spoils_them_for_nobody_else():
    class Sees(Proxy):
        def score(self, network, batch):
            return network(batch.images).abs().sum().item()

    batch = Batch(BATCH.images.clone(), BATCH.labels)
    alone = score_network(network(), BATCH, {"sees": Sees()}, seed=0).scores["sees"]
    for order in (("spoils", "sees"), ("sees", "spoils")):
        proxies = {name: Spoils() if name == "spoils" else Sees() for name in order}
        found = score_network(network(), batch, proxies, seed=0)
        assert found.scores == {"spoils": 1.0, "sees": alone}
    torch.testing.assert_close(batch.images, BATCH.images)


def test_a_proxy_that_ends_the_program_fails_like_any_other():
    class Exits(Proxy):
        def score(self, network, batch):
            raise SystemExit(0)

    found = score_network(network(), BATCH, {"exits": Exits()}, seed=0)
    assert found.scores == {"exits": -math.inf}
    assert str(found.errors["exits"]) == "SystemExit: 0"
