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


@pytest.mark.parametrize(("steps", "expected"), [(3136, 0.1), (784, 0.1), (12_544, 0.05)])
def test_the_step_size_leaves_the_same_noise_in_longer_searches(steps, expected):
    distribution = GumbelSoftmaxDistribution(
        GumbelSoftmaxOptions(initial_scale=0), decisions=DECISIONS, generator=generator(0)
    )
    optimizer = CategoricalNGVIOptimizer(
        CategoricalOptions(clip_radius=None),
        distribution=distribution,
        dataset_size=10**9,
        generator=generator(1),
    )
    optimizer.set_length(steps)
    slope = torch.tensor([[1.0, 0.0, -1.0]]).expand_as(COSTS)
    gradients = torch.autograd.functional.jacobian(
        lambda logits: (torch.softmax(logits, -1) * slope).sum(), torch.zeros_like(COSTS)
    )
    # At uniform probabilities the natural gradient is that of the logits over 1 / choices.
    step = expected * natural_gradient(gradients, torch.full_like(COSTS, 1 / 3))
    distribution.weights = lambda generator: distribution.mean_weights()
    optimizer.step(lambda weights: (weights["cell"] * slope.float()).sum())
    torch.testing.assert_close(
        distribution.logits["cell"].double(), -step.double(), atol=1e-6, rtol=1e-5
    )


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


def test_without_a_loss_for_a_choice_the_fixed_point_is_the_informed_prior():
    offset = torch.tensor([[1.0, 0.0, -1.0], [0.3, -0.3, 0.0]])
    distribution = GumbelSoftmaxDistribution(
        GumbelSoftmaxOptions(initial_scale=1.0), decisions=DECISIONS, generator=generator(0)
    )
    distribution.set_offset({"cell": offset})
    optimizer = CategoricalNGVIOptimizer(
        CategoricalOptions(lr=5.0, ess=10), distribution=distribution, dataset_size=1,
        generator=generator(1),
    )  # fmt: skip
    assert optimizer.statistics()["kl"] > 0.1
    for _ in range(60):
        optimizer.step(lambda weights: (weights["cell"] * 0.0).sum())
    found = distribution.mean_weights()["cell"].detach()
    torch.testing.assert_close(found, offset.softmax(-1), atol=1e-5, rtol=0)
    assert optimizer.statistics()["kl"] == pytest.approx(0, abs=1e-6)


def test_the_natural_gradient_is_taken_at_the_whole_logits():
    offset = torch.tensor([[1.0, 0.0, -1.0], [0.3, -0.3, 0.0]])

    def first_step(initial, offset):
        distribution = GumbelSoftmaxDistribution(
            GumbelSoftmaxOptions(initial_scale=0.0), decisions=DECISIONS, generator=generator(0)
        )
        with torch.no_grad():
            distribution.logits["cell"].copy_(initial)
        if offset is not None:
            distribution.set_offset({"cell": offset})
        optimizer = CategoricalNGVIOptimizer(
            CategoricalOptions(lr=0.1, ess=1e12, clip_radius=None), distribution=distribution,
            dataset_size=1, generator=generator(1),
        )  # fmt: skip
        optimizer.step(lambda weights: (weights["cell"] * COSTS.float()).sum())
        return distribution.logits["cell"].detach() - initial

    torch.testing.assert_close(
        first_step(torch.zeros(2, 3), offset), first_step(offset, None), atol=1e-6, rtol=1e-4
    )
