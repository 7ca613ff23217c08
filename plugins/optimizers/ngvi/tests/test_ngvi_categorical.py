import math

import pytest
import torch
from hypothesis import given, settings, strategies as st

from balenas_core.distributions import GumbelSoftmaxDistribution
from balenas_core.interfaces.space import Decision
from balenas_core.plugins.builtin import GumbelSoftmaxOptions
from balenas_core.random import generator
from balenas_core.testing import OptimizerConformance
from balenas_optimizer_ngvi import CategoricalOptions
from balenas_optimizer_ngvi._categorical import (
    CategoricalNGVIOptimizer,
    natural_gradient,
    updated_logits,
)

DECISIONS = (Decision("cell", ("a", "b"), ("x", "y", "z")),)
COSTS = torch.tensor([[0.0, 0.01, 0.02], [0.03, 0.0, 0.01]], dtype=torch.float64)


class TestCategorical(OptimizerConformance):
    plugin_name = "ngvi_categorical"


@settings(deadline=None)
@given(st.lists(st.floats(-4, 4), min_size=4, max_size=4), st.integers(0, 1000))
def test_the_natural_gradient_is_the_gradient_in_the_probabilities(values, seed):
    logits = torch.tensor([values], dtype=torch.float64, requires_grad=True)
    costs = torch.randn(1, 4, generator=generator(seed), dtype=torch.float64)
    probabilities = torch.softmax(logits, -1)
    (gradient,) = torch.autograd.grad((probabilities * costs).sum(), logits)
    found = natural_gradient(gradient, probabilities.detach())
    shift = (found - costs).mean()
    torch.testing.assert_close(found, costs + shift, rtol=1e-7, atol=1e-9)


def test_the_fixed_point_is_the_boltzmann_distribution():
    ess = 100.0
    logits = torch.zeros_like(COSTS)
    for _ in range(500):
        leaf = logits.clone().requires_grad_()
        probabilities = torch.softmax(leaf, -1)
        (gradient,) = torch.autograd.grad((probabilities * COSTS).sum(), leaf)
        natural = natural_gradient(gradient, probabilities.detach())
        logits = updated_logits(logits, natural, lr=10.0, shrinkage=1 / ess)
    expected = torch.softmax(-ess * COSTS, -1)
    torch.testing.assert_close(torch.softmax(logits, -1), expected, rtol=1e-9, atol=1e-12)


def test_the_optimizer_finds_the_boltzmann_distribution_of_a_linear_loss():
    # At a temperature of 1/10 the relaxation is nearly unbiased.
    distribution = GumbelSoftmaxDistribution(
        GumbelSoftmaxOptions(temperature_start=0.1, temperature_end=0.1),
        decisions=DECISIONS,
        generator=generator(0),
    ).double()
    optimizer = CategoricalNGVIOptimizer(
        CategoricalOptions(lr=0.3, ess=100, mc_samples=8, clip_radius=None),
        distribution=distribution,
        dataset_size=1,
        generator=generator(1),
    )
    average = torch.zeros_like(COSTS)
    for step in range(3000):
        optimizer.step(lambda weights: (weights["cell"] * COSTS).sum())
        if step >= 1500:
            average += distribution.mean_weights()["cell"].detach() / 1500
    expected = torch.softmax(-100 * COSTS, -1)
    torch.testing.assert_close(average, expected, rtol=0, atol=0.05)


def _uniform(**options):
    distribution = GumbelSoftmaxDistribution(
        GumbelSoftmaxOptions(initial_scale=0), decisions=DECISIONS, generator=generator(0)
    ).double()
    distribution.weights = lambda generator: distribution.mean_weights()
    return distribution, CategoricalNGVIOptimizer(
        CategoricalOptions(**options),
        distribution=distribution,
        dataset_size=1000,
        generator=generator(1),
    )


@pytest.mark.parametrize("steps", [100, 400])
def test_a_search_ends_near_the_boltzmann_distribution_of_its_length(steps):
    distribution, optimizer = _uniform(beta1=0.0, clip_radius=None)
    optimizer.set_length(steps)
    costs = COSTS / 10
    for _ in range(steps):
        optimizer.step(lambda weights: (weights["cell"] * costs).sum())
    ess = 4.6 * steps**0.5
    logits = distribution.logits["cell"].detach()
    found = logits - logits.mean(-1, keepdim=True)
    # All but (1 - 3 / steps)^steps of the start, which was zero, is forgotten.
    expected = -ess * (costs - costs.mean(-1, keepdim=True)) * (1 - (1 - 3 / steps) ** steps)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


def test_the_effective_sample_size_grows_over_the_search():
    _, optimizer = _uniform(ess=200, ess_start=0.1)
    sizes = []
    for fraction in (0.0, 0.5, 1.0):
        optimizer.set_progress(fraction)
        sizes.append(optimizer.statistics()["effective_sample_size"])
    assert sizes == pytest.approx([20, 110, 200])


def test_an_early_step_is_a_share_of_a_late_one():
    moved = []
    for fraction in (0.0, 1.0):
        distribution, optimizer = _uniform(lr=1.0, ess=1e9, ess_start=0.1, clip_radius=None)
        optimizer.set_progress(fraction)
        optimizer.step(lambda weights: (weights["cell"] * COSTS).sum())
        moved.append(distribution.logits["cell"].detach().clone())
    torch.testing.assert_close(moved[0], 0.1 * moved[1])


def test_what_looked_best_at_the_start_is_forgotten():
    distribution, optimizer = _uniform(clip_radius=None)
    optimizer.set_length(400)
    early = torch.zeros_like(COSTS)
    early[:, 0] = -0.05
    late = torch.zeros_like(COSTS)
    late[:, 1] = -0.02
    for step in range(400):
        costs = early if step < 100 else late
        optimizer.step(lambda weights, costs=costs: (weights["cell"] * costs).sum())
    assert (distribution.logits["cell"].argmax(-1) == 1).all()


def test_options_that_are_given_hold_for_every_length():
    _, optimizer = _uniform(lr=0.2, ess=50)
    optimizer.set_length(9)
    assert (optimizer._lr, optimizer._ess) == (0.2, 50)
    _, other = _uniform(ess=50)
    other.set_length(100)
    assert other._lr == pytest.approx(1.5)


def test_kl_is_zero_at_the_uniform_distribution_and_log_n_at_a_certain_one():
    distribution = GumbelSoftmaxDistribution(
        GumbelSoftmaxOptions(initial_scale=0), decisions=DECISIONS, generator=generator(0)
    )
    optimizer = CategoricalNGVIOptimizer(
        CategoricalOptions(),
        distribution=distribution,
        dataset_size=50,
        generator=generator(1),
    )
    assert optimizer.statistics() == pytest.approx(
        {"kl": 0.0, "effective_sample_size": 50.0}, abs=1e-6
    )
    with torch.no_grad():
        distribution.logits["cell"][:, 0] = 100.0
    assert optimizer.statistics()["kl"] == pytest.approx(2 * math.log(3))
