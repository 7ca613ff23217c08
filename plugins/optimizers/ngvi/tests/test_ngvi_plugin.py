import math
from typing import ClassVar

import pytest
import torch

from balenas_core.distributions import GaussianDistribution
from balenas_core.interfaces.space import Decision
from balenas_core.plugins.builtin import GaussianOptions
from balenas_core.random import generator
from balenas_core.testing import OptimizerConformance, ToyObjective
from balenas_optimizer_ngvi import NGVIOptions
from balenas_optimizer_ngvi._config import DEFAULTS
from balenas_optimizer_ngvi._search import NGVIOptimizer, status

DECISIONS = (Decision("cell", ("a", "b"), ("x", "y", "z")),)


class TestVadam(OptimizerConformance):
    plugin_name = "ngvi"
    options: ClassVar = {"lr": 0.02}


class TestIvon(OptimizerConformance):
    plugin_name = "ngvi"
    options: ClassVar = {"variant": "ivon", "mc_samples": 4, "antithetic": True}


def _pair(sigma=1.0, dataset_size=1000, **options):
    distribution = GaussianDistribution(
        GaussianOptions(initial_sigma=sigma), decisions=DECISIONS, generator=generator(0)
    )
    optimizer = NGVIOptimizer(
        NGVIOptions(**options),
        distribution=distribution,
        dataset_size=dataset_size,
        generator=generator(1),
    )
    return distribution, optimizer


@pytest.mark.parametrize("variant", ["vadam", "ivon"])
def test_the_distributions_sigma_is_that_of_the_curvature_estimate(variant):
    distribution, optimizer = _pair(variant=variant)
    for _ in range(5):
        optimizer.step(ToyObjective(DECISIONS))
    hess = optimizer.state_dict()["state"][0]["hess"].view(2, 3)
    prior = {"vadam": 1.0, "ivon": 0.1}[variant]
    expected = (1000 * hess + prior).rsqrt()
    torch.testing.assert_close(distribution.log_sigma["cell"].exp(), expected)
    assert (distribution.log_sigma["cell"] != 0).all()


def test_a_variant_brings_the_settings_of_its_paper():
    assert DEFAULTS["vadam"] == (3e-4, 0.5, 0.999, 1)
    assert DEFAULTS["ivon"] == (0.1, 0.9, 0.9995, 0.1)


def test_the_first_step_of_vadam_is_the_one_of_the_method():
    distribution, optimizer = _pair(lr=0.1)
    mean = distribution.mean["cell"].detach().double().clone()
    noise = torch.Generator().manual_seed(0)
    noise.set_state(optimizer.state_dict()["ngvi"]["generator"])
    seen = []
    objective = ToyObjective(DECISIONS)

    class Record:
        def __call__(self, weights):
            seen.append(distribution.mean["cell"].detach().double().clone())
            return objective(weights)

    optimizer.step(Record())
    alpha = seen[0].clone().requires_grad_()
    loss = (torch.softmax(alpha, -1) - objective.targets["cell"].double()).square().sum()
    (gradient,) = torch.autograd.grad(loss, alpha)
    # Debiasing divides the first averages by 1 - beta: what is left are the raw values.
    step = (gradient + mean / 1000) / (gradient.abs() + 1 / 1000)
    expected = mean - 0.1 * step
    # s is not debiased in the posterior.
    sigma = (1000 * 0.001 * gradient.square() + 1).rsqrt()
    torch.testing.assert_close(distribution.mean["cell"].double(), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        distribution.log_sigma["cell"].double().exp(), sigma, rtol=1e-5, atol=1e-6
    )


def test_a_start_at_the_width_of_the_prior_is_accepted():
    distribution, _ = _pair(sigma=0.5, prior_precision=4.0)
    assert distribution.log_sigma["cell"].exp().allclose(torch.tensor(0.5))


def test_a_start_wider_than_the_prior_names_the_limit():
    with pytest.raises(ValueError, match="initial_sigma"):
        _pair(sigma=2.0)


@pytest.mark.parametrize("variant", ["vadam", "ivon"])
@pytest.mark.parametrize("prior", [None, 0.1, 1.0, 4.0, 50.0])
@pytest.mark.parametrize("sigma", [0.1, 1 / math.sqrt(50), 0.5, 1.0, 3.0])
def test_the_configuration_refuses_what_the_optimizer_would(variant, prior, sigma):
    options = {"variant": variant, "prior_precision": prior}
    refused = list(
        NGVIOptions(**options).conflicts({"distribution": GaussianOptions(initial_sigma=sigma)})
    )
    if not refused:
        _pair(sigma=sigma, **options)
        return
    assert (refused[0].kind, refused[0].option) == ("distribution", "initial_sigma")
    with pytest.raises(ValueError, match="initial_sigma"):
        _pair(sigma=sigma, **options)


def _moved(optimizer, distribution, steps):
    """Return how far the largest logit has gone under a gradient that never changes."""
    optimizer.set_length(steps)
    before = distribution.mean["cell"].detach().clone()
    slope = torch.tensor([[1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])

    def objective(weights):
        return (weights["cell"].log() * slope).sum()

    for _ in range(steps):
        optimizer.step(objective)
    return (distribution.mean["cell"].detach() - before).abs().max().item()


@pytest.mark.parametrize(("steps", "moved"), [(20, 0.12), (200, 1.2), (2000, 12.0), (2500, 12.0)])
def test_a_steady_gradient_moves_a_logit_by_the_distance_or_less_in_a_short_search(steps, moved):
    distribution, optimizer = _pair(distance=12.0, prior_precision=1e-6, sigma=1.0)
    assert _moved(optimizer, distribution, steps) == pytest.approx(moved, rel=0.02)


@pytest.mark.parametrize(("steps", "lr"), [(30, 0.003), (2000, 0.003), (12_000, 0.0005)])
def test_a_short_search_makes_no_larger_steps_than_one_of_3000(steps, lr):
    _, optimizer = _pair()
    optimizer.set_length(steps)
    assert optimizer._ngvi.param_groups[0]["lr"] == pytest.approx(lr)


def test_a_step_size_that_is_given_holds_for_every_length():
    distribution, optimizer = _pair(lr=0.01, prior_precision=1e-6)
    assert _moved(optimizer, distribution, 20) == pytest.approx(0.2, rel=0.02)


def test_the_curvature_is_a_mean_over_a_third_of_the_search():
    _, optimizer = _pair()
    optimizer.set_length(300)
    assert optimizer._ngvi.param_groups[0]["betas"] == (0.5, pytest.approx(0.99))
    _, given = _pair(beta2=0.9)
    given.set_length(300)
    assert given._ngvi.param_groups[0]["betas"] == (0.5, 0.9)


def test_ivon_keeps_its_step_whatever_the_length():
    _, optimizer = _pair(variant="ivon")
    optimizer.set_length(10)
    group = optimizer._ngvi.param_groups[0]
    assert (group["lr"], group["betas"]) == (0.1, (0.9, 0.9995))


def test_the_temperature_follows_its_schedule():
    _, optimizer = _pair(temperature_start=0.01, temperature=1.0)
    sizes = []
    for fraction in (0.0, 0.5, 1.0):
        optimizer.set_progress(fraction)
        sizes.append(optimizer.statistics()["effective_sample_size"])
    assert sizes == pytest.approx([100_000, 1000 / 0.505, 1000])


def test_status_says_which_back_end_serves_and_why():
    answer = status()
    assert set(answer) == {"CPU", "GPU"}
    assert answer["CPU"].startswith(("native", "torch"))
