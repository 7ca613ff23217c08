"""Mistakes of proxies, planted one at a time: the kit must find each and say what to mend."""

from __future__ import annotations

import gc
import math
import random
import sys

import numpy as np
import pytest
import torch
from planted import assert_found, faults, held_against
from torch import nn

from balenas_core.interfaces.proxy import Proxy
from balenas_core.testing import ProxyConformance

KEPT: list[nn.Module] = []


KIT = ProxyConformance


class Good(Proxy):
    """Gradient norm, computed by hand on copies of what it touches."""

    needs_labels = True
    needs_gradients = True

    def score(self, network, batch):
        parameters = [p for p in network.parameters() if p.requires_grad]
        modes = [(m, m.training) for m in network.modules()]
        running = {n: b.clone() for n, b in network.named_buffers()}
        network.eval()
        try:
            logits = network(batch.images.clone())
            loss = nn.functional.cross_entropy(logits, batch.labels)
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        finally:
            for module, training in modes:
                module.training = training
            for name, buffer in network.named_buffers():
                buffer.copy_(running[name])
        return float(sum(g.abs().sum() for g in gradients if g is not None))


ONE = Good()


def planted(body):
    """Return the good proxy with something done before (a function of network and batch)."""

    class Planted(Good):
        def score(self, network, batch):
            body(network, batch)
            return super().score(network, batch)

    return Planted


def scoring(rule, **attributes):
    """Return a proxy that scores by a function of network and batch."""

    class Scoring(Good):
        def score(self, network, batch):
            return rule(super().score(network, batch), network, batch)

    for key, value in attributes.items():
        setattr(Scoring, key, value)
    return Scoring


def _size(network):
    return float(sum(p.numel() for p in network.parameters()))


def _backward(network, batch):
    network(batch.images).sum().backward()


def _hook(network, batch):
    network.classifier.register_forward_hook(lambda *_: None)


def _replace_forward(network, batch):
    forward = network.forward
    network.forward = lambda x: forward(x)


def _no_grad_layers(network, batch):
    for parameter in network.parameters():
        parameter.requires_grad_(False)
        parameter.requires_grad_(True)


def _swap_layer(network, batch):
    network.classifier = nn.Linear(network.classifier.in_features, network.classifier.out_features)


def _touch_class(network, batch):
    nn.Conv2d.forward = lambda self, x, forward=nn.Conv2d.forward: forward(self, x)


def _need_image_gradients(network, batch):
    batch.images.requires_grad_()


class Remembers(Good):
    """Adds the number of calls."""

    calls = 0

    def score(self, network, batch):
        self.calls += 1
        return super().score(network, batch) + self.calls


class LeavesEvalOnError(Good):
    def score(self, network, batch):
        value = super().score(network, batch)
        network.eval()
        network(batch.images)
        network.train()
        return value


class NoFinally(Proxy):
    def score(self, network, batch):
        handle = network.stem.register_forward_hook(lambda *_: None)
        with torch.no_grad():
            value = network.eval()(batch.images.clone()).abs().sum().item()
        network.train()
        network.classifier.bias.requires_grad_(False)
        handle.remove()
        return value


MISTAKES = {
    "weights scaled in place": (
        planted(lambda n, b: [p.data.mul_(1.01) for p in n.parameters()]),
        "test_scores_leave_the_network_and_the_batch_untouched",
        "values of",
    ),
    "buffers moved": (
        planted(lambda n, b: n.train()(b.images.clone()).sum()),
        "test_scores_leave_the_network_and_the_batch_untouched",
        "running_mean",
    ),
    "gradients left": (
        planted(_backward),
        "test_scores_leave_the_network_and_the_batch_untouched",
        "gradient of",
    ),
    "gradients cleared": (
        planted(lambda n, b: n.zero_grad()),
        "test_scores_leave_the_network_and_the_batch_untouched",
        "gradient of",
    ),
    "switched to evaluation": (
        planted(lambda n, b: n.eval()),
        "test_scores_leave_the_network_and_the_batch_untouched",
        "training",
    ),
    "a hook left on": (
        planted(_hook),
        "test_scores_leave_the_network_and_the_batch_untouched",
        "hooks",
    ),
    "a hook on a weight": (
        planted(lambda n, b: n.stem.weight.register_hook(lambda g: g)),
        "test_scores_leave_the_network_and_the_batch_untouched",
        "hooks of stem",
    ),
    "forward replaced": (
        planted(_replace_forward),
        "test_scores_leave_the_network_and_the_batch_untouched",
        "forward",
    ),
    "requires_grad turned on": (
        planted(_no_grad_layers),
        "test_scores_leave_the_network_and_the_batch_untouched",
        "requires_grad",
    ),
    "a layer replaced": (
        planted(_swap_layer),
        "test_scores_leave_the_network_and_the_batch_untouched",
        "replaced",
    ),
    "an attribute added": (
        planted(lambda n, b: setattr(n, "seen", True)),
        "test_scores_leave_the_network_and_the_batch_untouched",
        "seen",
    ),
    "an attribute changed": (
        planted(lambda n, b: n.note.clear()),
        "test_a_network_that_computes_nothing_is_not_the_best",
        "note",
    ),
    "a class patched": (
        planted(_touch_class),
        "test_a_network_that_computes_nothing_is_not_the_best",
        "methods of the class|was replaced",
    ),
    "images changed": (
        planted(lambda n, b: b.images.mul_(2)),
        "test_scores_leave_the_network_and_the_batch_untouched",
        "images",
    ),
    "labels changed": (
        planted(lambda n, b: b.labels.zero_()),
        "test_scores_leave_the_network_and_the_batch_untouched",
        "labels",
    ),
    "images need gradients": (
        planted(_need_image_gradients),
        "test_scores_leave_the_network_and_the_batch_untouched",
        "requires_grad",
    ),
    "no restoring after an error": (
        NoFinally,
        "test_scores_leave_the_network_and_the_batch_untouched",
        "module that raises|network|changed",
    ),
    "left in training mode": (
        LeavesEvalOnError,
        "test_scores_leave_the_network_and_the_batch_untouched",
        "training|running",
    ),
    "numpy's random numbers": (
        scoring(lambda s, n, b: s + np.random.rand()),  # noqa: NPY002
        "test_scores_are_reproducible",
        "torch's generators alone",
    ),
    "Python's random numbers": (
        scoring(lambda s, n, b: s + random.random()),
        "test_scores_are_reproducible",
        "generators",
    ),
    "seeds torch": (
        planted(lambda n, b: torch.manual_seed(0)),
        "test_it_seeds_nothing_and_draws_from_torch_alone",
        "seeds torch's global",
    ),
    "default dtype": (
        planted(lambda n, b: torch.set_default_dtype(torch.float64)),
        "test_a_network_that_computes_nothing_is_not_the_best",
        "dtype",
    ),
    "gradients off for all": (
        planted(lambda n, b: torch.set_grad_enabled(False)),
        "test_a_network_that_computes_nothing_is_not_the_best",
        "gradient|grad",
    ),
    "threads": (
        planted(lambda n, b: torch.set_num_threads(3)),
        "test_a_network_that_computes_nothing_is_not_the_best",
        "threads",
    ),
    "prints": (
        planted(lambda n, b: sys.stdout.write("score")),
        "test_leaves_the_process_as_it_was",
        "print nothing",
    ),
    "an environment variable": (
        planted(lambda n, b: __import__("os").environ.update(PLANTED="1")),
        "test_leaves_the_process_as_it_was",
        "PLANTED",
    ),
    "a tensor instead of a float": (
        scoring(lambda s, n, b: torch.tensor(s)),
        "test_a_network_that_computes_nothing_is_not_the_best",
        "must return a float",
    ),
    "None": (
        scoring(lambda s, n, b: None),
        "test_a_network_that_computes_nothing_is_not_the_best",
        "must return a float",
    ),
    "an integer": (
        scoring(lambda s, n, b: int(s)),
        "test_a_network_that_computes_nothing_is_not_the_best",
        "must return a float",
    ),
    "NaN": (
        scoring(lambda s, n, b: math.nan),
        "test_a_network_that_computes_nothing_is_not_the_best",
        "NaN",
    ),
    "+inf for a dead network": (
        scoring(lambda s, n, b: s / 0.0 if False else (math.inf if s < 1 else s)),
        "test_a_network_that_computes_nothing_is_not_the_best",
        r"\+inf|not the best",
    ),
    "NaN for a dead network": (
        scoring(
            lambda s, n, b: (
                s
                if any(p.ndim > 2 for p in n.parameters())
                and "none" not in getattr(n, "operations", ())
                else math.nan
            )
        ),
        "test_a_network_that_computes_nothing_is_not_the_best",
        "NaN",
    ),
    "a constant": (scoring(lambda s, n, b: 1.0), "test_scores_tell_networks_apart", "ignores it"),
    "smaller is better": (
        scoring(lambda s, n, b: -s),
        "test_a_network_that_computes_nothing_is_not_the_best",
        "larger is better",
    ),
    "state from call to call": (
        Remembers,
        "test_scores_are_reproducible",
        "equal seeds|came before",
    ),
    "keeps networks": (
        planted(lambda n, b: KEPT.append(n)),
        "test_it_lets_networks_go",
        "keeps the network",
    ),
    "labels needed, not said": (
        scoring(lambda s, n, b: s, needs_labels=False),
        "test_what_it_says_it_does_not_need_changes_nothing",
        "needs_labels",
    ),
    "data needed, not said": (
        scoring(lambda s, n, b: s, needs_data=False),
        "test_what_it_says_it_does_not_need_changes_nothing",
        "needs_data",
    ),
    "a need that is no truth value": (
        scoring(lambda s, n, b: s, needs_data="yes"),
        "test_its_needs_are_truth_values",
        "needs_data",
    ),
    "only three channels": (
        scoring(lambda s, n, b: s + 0 * b.images[:, 2].sum().item()),
        "test_scores_are_floats_and_never_nan",
        "index 2|IndexError",
    ),
    "only square images": (
        scoring(lambda s, n, b: s + 0 * (b.images @ b.images).sum().item()),
        "test_scores_are_floats_and_never_nan",
        "RuntimeError|shape",
    ),
    "not a proxy": (
        lambda: _size,
        "test_a_network_that_computes_nothing_is_not_the_best",
        "is no Proxy",
    ),
    "cached by shape": (
        scoring(lambda s, n, b, seen={}: seen.setdefault(b.images.shape, s)),
        "test_scores_tell_networks_apart",
        "came before|ignores|apart",
    ),
    "one object for all": (lambda: ONE, "test_builds_what_its_kind_is", "new object"),
    "garbage collection off": (
        planted(lambda n, b: gc.disable()),
        "test_a_network_that_computes_nothing_is_not_the_best",
        "garbage",
    ),
}


def test_a_good_proxy_passes(tmp_path):
    assert faults(held_against(ProxyConformance, Good), tmp_path) == {}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_and_explained(mistake, tmp_path):
    implementation, *expected = MISTAKES[mistake]
    try:
        assert_found(held_against(KIT, implementation), *expected, tmp_path)
    finally:
        KEPT.clear()
