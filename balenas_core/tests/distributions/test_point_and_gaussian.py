import math

import pytest
import torch
from scipy.stats import chisquare

from balenas_core.distributions import GaussianDistribution, PointDistribution
from balenas_core.interfaces.space import Decision
from balenas_core.plugins.builtin import GaussianOptions, PointOptions

DECISIONS = (
    Decision("normal", ("a", "b"), ("x", "y", "z")),
    Decision("reduce", ("a",), ("x", "y")),
)


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _point(dtype=torch.float64):
    distribution = PointDistribution(
        PointOptions(), decisions=DECISIONS, generator=_generator()
    ).to(dtype)
    with torch.no_grad():
        distribution.logits["normal"].copy_(torch.tensor([[0.0, 1.0, -1.0], [2.0, 0.0, 0.0]]))
        distribution.logits["reduce"].copy_(torch.tensor([[0.5, -0.5]]))
    return distribution


def _gaussian(dtype=torch.float64, **options):
    return GaussianDistribution(
        GaussianOptions(**options), decisions=DECISIONS, generator=_generator()
    ).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_points_weights_are_softmax_of_its_logits_without_noise(dtype):
    distribution = _point(dtype)
    first, second = (distribution.weights(_generator(seed)) for seed in (1, 2))
    for name, logits in distribution.logits.items():
        torch.testing.assert_close(first[name], logits.softmax(-1))
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)


def test_a_points_discrete_draws_have_the_probabilities_of_softmax():
    distribution, generator = _point(), _generator(3)
    counts = torch.zeros(3)
    with torch.no_grad():
        for _ in range(4000):
            counts[distribution.draw_weights(generator)["normal"][0].argmax()] += 1
    expected = 4000 * torch.softmax(torch.tensor([0.0, 1.0, -1.0], dtype=torch.float64), -1)
    assert chisquare(counts.double().numpy(), expected.numpy()).pvalue > 0.01


def test_a_points_log_probability_is_the_sum_over_slots():
    distribution = _point()
    draw = {
        "normal": torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64),
        "reduce": torch.tensor([[0.0, 1.0]], dtype=torch.float64),
    }
    p = [w.softmax(-1) for w in distribution.logits.values()]
    expected = torch.log(p[0][0, 1] * p[0][1, 0] * p[1][0, 1])
    torch.testing.assert_close(distribution.log_prob(draw), expected)


def test_the_score_function_is_one_hot_minus_the_probabilities():
    distribution = _point()
    draw = distribution.sample(_generator(4))
    distribution.log_prob(draw).backward()
    for name, logits in distribution.logits.items():
        torch.testing.assert_close(logits.grad, draw[name] - logits.detach().softmax(-1))


def test_a_points_entropy_of_equal_logits_is_the_log_of_the_choices():
    distribution = _point()
    with torch.no_grad():
        for logits in distribution.logits.values():
            logits.fill_(3.0)
    assert distribution.entropy().item() == pytest.approx(2 * math.log(3) + math.log(2))
    assert distribution.statistics()["weights_entropy"] == pytest.approx(
        (2 * math.log(3) + math.log(2)) / 3
    )


def test_a_gaussians_draws_have_its_mean_and_sigma():
    distribution = _gaussian(initial_sigma=0.3, initial_scale=1.0)
    generator = _generator(5)
    with torch.no_grad():
        log_ratios = torch.stack(
            [
                torch.log(w[:, 0] / w[:, 1])
                for w in (distribution.weights(generator)["normal"] for _ in range(4000))
            ]
        )
        mean = distribution.mean["normal"]
    # log(w_0 / w_1) = alpha_0 - alpha_1 is N(mean_0 - mean_1, 2 sigma^2).
    sigma = 0.3 * math.sqrt(2)
    error = 4 * sigma / math.sqrt(4000)
    assert ((log_ratios.mean(0) - (mean[:, 0] - mean[:, 1])).abs() < error).all()
    torch.testing.assert_close(
        log_ratios.std(0), torch.full((2,), sigma, dtype=torch.float64), rtol=0.05, atol=0
    )


def test_a_gaussians_entropy_and_kl_equal_those_of_torch():
    distribution = _gaussian(initial_sigma=0.4, initial_scale=1.0)
    precision = 2.5
    entropy, kl = 0.0, 0.0
    for name, mean in distribution.mean.items():
        q = torch.distributions.Normal(mean, distribution.log_sigma[name].exp())
        p = torch.distributions.Normal(
            torch.zeros_like(mean), torch.full_like(mean, precision**-0.5)
        )
        entropy = entropy + q.entropy().sum()
        kl = kl + torch.distributions.kl_divergence(q, p).sum()
    torch.testing.assert_close(distribution.entropy(), entropy)
    torch.testing.assert_close(distribution.kl(precision), kl)


def test_a_gaussian_equal_to_its_prior_has_no_divergence():
    distribution = _gaussian(initial_sigma=0.5, initial_scale=0.0)
    assert distribution.kl(4.0).item() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("make", [_point, _gaussian])
def test_state_goes_round_and_draws_are_the_same(make):
    first, second = make(), make()
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(0.1)
    second.load_state_dict(first.state_dict())
    a, b = (d.weights(_generator(6)) for d in (first, second))
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=0)


@pytest.mark.parametrize("make", [_point, _gaussian])
def test_progress_and_regularizer_do_nothing_by_default(make):
    distribution = make()
    before = {k: v.clone() for k, v in distribution.state_dict().items()}
    distribution.set_progress(0.5)
    assert distribution.regularizer().item() == 0.0
    for name, value in distribution.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
