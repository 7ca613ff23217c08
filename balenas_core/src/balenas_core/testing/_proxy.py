"""Checks of proxies."""

from __future__ import annotations

import contextlib
import gc
import math
import weakref
from typing import Any

import torch
from torch import nn

from balenas_core.interfaces.proxy import Batch, Proxy
from balenas_core.interfaces.space import Task
from balenas_core.random import seeded
from balenas_core.testing._module_state import ModuleState, same
from balenas_core.testing._plugin import PluginConformance
from balenas_core.testing._probe_network import (
    Interrupted,
    failing_network,
    probe_batch,
    probe_network,
)
from balenas_core.testing._toy import ToySpace

_TASKS = (Task((3, 8, 8), 10), Task((1, 6, 10), 3))
_TOYS = ("conv-conv", "conv-skip", "skip-skip", "none-none")


class ProxyConformance(PluginConformance):
    """A proxy is deterministic, never NaN, and leaves no trace in network, batch and process."""

    kind = "proxy"
    base = Proxy

    def proxy(self) -> Proxy:
        """Build the proxy."""
        proxy: Proxy = self.build()
        return proxy

    def use(self) -> None:
        """Score a network as a search does, between seeds that are put back."""
        with seeded(0):
            self.proxy().score(probe_network(_TASKS[0]), probe_batch(_TASKS[0]))

    def test_its_needs_are_truth_values(self) -> None:
        proxy = self.proxy()
        for name in ("needs_data", "needs_labels", "needs_gradients"):
            value = getattr(proxy, name)
            assert isinstance(value, bool), f"{name} must be True or False; got {value!r}"

    def test_scores_are_floats_and_never_nan(self) -> None:
        proxy = self.proxy()
        for network, batch in _cases():
            _score(proxy, network, batch)

    def test_scores_are_reproducible(self) -> None:
        proxy = self.proxy()
        network, batch = probe_network(_TASKS[0]), probe_batch(_TASKS[0])
        other = probe_network(_TASKS[0], width=6, depth=2)
        first = _score(proxy, network, batch)
        again = _score(proxy, network, batch)
        assert first == again, (
            f"equal seeds gave {first} and {again}: draw from torch's generators alone, which a "
            f"search seeds, and keep nothing from call to call"
        )
        _score(proxy, other, batch)
        assert _score(proxy, network, batch) == first, "the score depends on what came before"
        assert _score(self.proxy(), network, batch) == first, "two proxies give different scores"

    def test_scores_tell_networks_apart(self) -> None:
        proxy = self.proxy()
        by_shape: dict[Any, set[float]] = {}
        for network, batch in _cases():
            scores = by_shape.setdefault(batch.images.shape, set())
            scores.add(_score(proxy, network, batch))
        for scores in by_shape.values():
            assert len(scores) > 1, f"every network scores {min(scores)}; score() ignores it"

    def test_a_network_that_computes_nothing_is_not_the_best(self) -> None:
        space, task = ToySpace(), Task((3, 8, 8), 10)
        scores = {}
        for text in _TOYS:
            with seeded(0):
                network = space.network(space.parse(text), task)
            scores[text] = _score(self.proxy(), network, probe_batch(task))
        dead = scores.pop("none-none")
        assert dead <= max(scores.values()), (
            f"larger is better, but a network that ignores its images scores {dead}, above "
            f"{scores}; turn the sign, or return -math.inf for it"
        )

    def test_scores_leave_the_network_and_the_batch_untouched(self) -> None:
        for task in _TASKS:
            network, batch = probe_network(task), probe_batch(task)
            images, labels = batch.images.clone(), batch.labels.clone()
            state = ModuleState(network)
            _score(self.proxy(), network, batch)
            changes = state.changes()
            assert not changes, (
                f"score() must leave the network as it found it; changed: {', '.join(changes)}. "
                f"Work inside of balenas_core.scores.probing.preserved(network)"
            )
            assert same(batch.images, images), "score() changes the images; work on a copy"
            assert same(batch.labels, labels), "score() changes the labels; work on a copy"
            assert not batch.images.requires_grad, (
                "score() leaves images.requires_grad on; take images.detach().clone()"
            )
            assert batch.images.grad is None, "score() leaves a gradient in the images"

    def test_scores_leave_the_network_untouched_when_they_fail(self) -> None:
        task = _TASKS[0]
        network, batch = failing_network(task), probe_batch(task)
        state = ModuleState(network)
        with contextlib.suppress(Interrupted):  # a search says so, and the candidate ranks last
            _score(self.proxy(), network, batch)
        changes = state.changes()
        assert not changes, (
            f"a network that raises is left changed: {', '.join(changes)}. Put everything back in "
            f"a finally, or work inside of balenas_core.scores.probing.preserved(network)"
        )

    def test_what_it_says_it_does_not_need_changes_nothing(self) -> None:
        proxy, task = self.proxy(), _TASKS[0]
        network, batch = probe_network(task), probe_batch(task)
        score = _score(proxy, network, batch)
        if not proxy.needs_data:
            other = _score(proxy, network, probe_batch(task, seed=1))
            assert other == score, (
                f"needs_data is False, but other images give {other} instead of {score}; declare "
                f"needs_data = True"
            )
        if not proxy.needs_labels:
            shifted = Batch(batch.images, (batch.labels + 1) % task.num_classes)
            other = _score(proxy, network, shifted)
            assert other == score, (
                f"needs_labels is False, but other labels give {other} instead of {score}; declare "
                f"needs_labels = True"
            )

    def test_it_seeds_nothing_and_draws_from_torch_alone(self) -> None:
        states = []
        for seed in (1, 2):
            network, batch = probe_network(_TASKS[0]), probe_batch(_TASKS[0])
            with seeded(seed):
                self.proxy().score(network, batch)
                states.append(torch.get_rng_state())
        assert not torch.equal(*states), (
            "score() seeds torch's global generator, which belongs to the search; make a "
            "torch.Generator of its own"
        )

    def test_it_lets_networks_go(self) -> None:
        proxy = self.proxy()
        network = probe_network(_TASKS[0])
        _score(proxy, network, probe_batch(_TASKS[0]))
        alive = weakref.ref(network)
        del network
        gc.collect()
        assert alive() is None, "the proxy keeps the network that it scored; thousands come"


def _score(proxy: Proxy, network: nn.Module, batch: Batch) -> float:
    with seeded(0):
        score = proxy.score(network, batch)
    assert isinstance(score, float), (
        f"score() must return a float; got {type(score).__name__}. Call .item() or float()"
    )
    assert not math.isnan(score), (
        f"score() is NaN for {_named(network)}; return -math.inf for a network that cannot be "
        f"scored (balenas_core.scores.probing.score_or_worst does)"
    )
    assert score != math.inf, (
        f"score() is +inf for {_named(network)}, which would be chosen as the best; return "
        f"-math.inf where it overflows"
    )
    return score


def _cases() -> list[tuple[nn.Module, Batch]]:
    cases: list[tuple[nn.Module, Batch]] = []
    for task in _TASKS:
        batch = probe_batch(task)
        cases += [(probe_network(task, width=w, depth=d), batch) for w, d in ((4, 1), (6, 2))]
        space = ToySpace()
        for text in _TOYS:
            with seeded(0):
                cases.append((space.network(space.parse(text), task), batch))
    return cases


def _named(network: nn.Module) -> str:
    operations = getattr(network, "operations", None)
    return f"the toy network {'-'.join(operations)}" if operations else "a network of convolutions"
