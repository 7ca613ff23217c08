"""What a search will take, from a few of its steps."""

from __future__ import annotations

from itertools import count

import pytest

from balenas_core.engine.estimating import estimate, traffic
from balenas_core.errors import UsageError
from balenas_core.interfaces.proxy import Proxy
from balenas_core.testing import toy_config, toy_plugin, toy_registry


class Size(Proxy):
    """The number of parameters."""

    def score(self, network, batch):
        del batch
        return float(sum(p.numel() for p in network.parameters()))


@pytest.fixture
def registry():
    return toy_registry()


def test_steps_epochs_and_weights_are_those_of_the_search(registry):
    found = estimate(toy_config(registry), registry=registry, steps=2)
    assert (found.epochs, found.steps, found.images) == (2, 8, 8)  # 32 images of each half
    assert found.state_bytes == 3 * 4 * found.parameters
    assert found.flops > 0
    assert found.activation_bytes > 0
    assert found.traffic_bytes == 0


def test_seconds_add_up(registry):
    ticks = count()
    found = estimate(
        toy_config(registry), registry=registry, steps=2, clock=lambda: float(next(ticks))
    )
    assert found.step_seconds == 1.0
    assert found.evaluation_seconds == 4.0  # a batch takes a tick, and there are four
    assert found.search_seconds == 8 * 1.0 + 2 * 4.0
    assert found.seconds == found.search_seconds + found.selection_seconds


def test_several_devices_share_each_batch_and_send_their_gradients(registry):
    found = estimate(toy_config(registry), registry=registry, steps=1, devices=4, bandwidth=1000.0)
    assert (found.images, found.steps) == (2, 8)
    assert found.traffic_bytes == traffic(4 * found.parameters, 4)
    assert found.exchange_seconds == found.traffic_bytes / 1000.0


def test_a_batch_that_devices_cannot_share_is_refused(registry):
    with pytest.raises(UsageError, match=r"training\.batch_size \(8\) must be a multiple of"):
        estimate(toy_config(registry), registry=registry, devices=3)


def test_the_check_is_counted_and_its_trainings_are_cut_short(registry):
    found = estimate(toy_config(registry, check_epochs=500), registry=registry, steps=1)
    inherited, check = found.stages
    assert (inherited.name, inherited.candidates) == ("inherited", 1)
    assert (check.name, check.candidates) == ("check", 2)
    assert check.seconds_each > 0
    assert found.selection_seconds == pytest.approx(inherited.seconds + check.seconds)


def test_an_informed_prior_is_counted_on_every_device(registry):
    assert estimate(toy_config(registry), registry=registry, steps=1).prior is None
    registry.add("size", toy_plugin("proxy", Size))
    prior = {"proxies": "size", "architectures": 90, "rounds": 4}
    config = toy_config(registry, distribution="gaussian", modifiers={"informed_prior": prior})
    found = estimate(config, registry=registry, steps=1, devices=2)
    assert (found.prior.name, found.prior.candidates) == ("prior", 90)
    assert found.prior.seconds > 0
    others = found.search_seconds + found.selection_seconds
    assert found.seconds == pytest.approx(others + found.prior.seconds)


def test_nothing_is_written(registry, tmp_path):
    config = toy_config(registry, output=tmp_path / "run")
    estimate(config, registry=registry, steps=1)
    assert not (tmp_path / "run").exists()
