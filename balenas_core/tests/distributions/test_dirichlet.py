import math

import pytest
import torch
from hypothesis import given, settings, strategies as st
from scipy.stats import kstest

from balenas_core.distributions import DirichletDistribution
from balenas_core.interfaces.space import Decision
from balenas_core.plugins.builtin import DirichletOptions

DECISIONS = (Decision("ops", ("a", "b"), ("x", "y", "z")),)
ALPHA = [[0.5, -1.0, 2.0], [0.0, 0.3, -0.4]]


def _distribution(alpha=ALPHA, dtype=torch.float64, **options):
    distribution = DirichletDistribution(
        DirichletOptions(**options), decisions=DECISIONS, generator=_generator()
    ).to(dtype)
    with torch.no_grad():
        distribution.alpha["ops"].copy_(torch.tensor(alpha, dtype=dtype))
    return distribution


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _torch_dirichlet(distribution):
    return torch.distributions.Dirichlet(distribution.concentration()["ops"].detach())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_concentration_is_elu_plus_one(dtype):
    distribution = _distribution(dtype=dtype)
    expected = torch.nn.functional.elu(distribution.alpha["ops"]) + 1
    torch.testing.assert_close(distribution.concentration()["ops"], expected)


def test_the_gradient_of_the_concentration_is_one_at_zero():
    distribution = _distribution([[0.0, 0.0, 0.0], [0.0, 1.0, -1.0]])
    distribution.concentration()["ops"].sum().backward()
    expected = [[1.0, 1.0, 1.0], [1.0, 1.0, math.exp(-1)]]
    torch.testing.assert_close(
        distribution.alpha["ops"].grad, torch.tensor(expected, dtype=torch.float64)
    )


def test_entropy_and_kl_of_the_uniform_distribution_are_known():
    distribution = _distribution([[0.0] * 3] * 2)
    assert distribution.entropy().item() == pytest.approx(2 * -math.log(math.factorial(2)))
    assert distribution.kl().item() == pytest.approx(0.0, abs=1e-12)


def test_entropy_and_kl_equal_those_of_torch():
    distribution = _distribution()
    reference = _torch_dirichlet(distribution)
    uniform = torch.distributions.Dirichlet(torch.ones(2, 3, dtype=torch.float64))
    torch.testing.assert_close(distribution.entropy(), reference.entropy().sum())
    torch.testing.assert_close(
        distribution.kl(), torch.distributions.kl_divergence(reference, uniform).sum()
    )


def test_a_weight_of_a_draw_has_the_beta_distribution():
    distribution = _distribution()
    generator = _generator(5)
    with torch.no_grad():
        draws = torch.stack([distribution.weights(generator)["ops"] for _ in range(3000)])
    concentration = distribution.concentration()["ops"].detach()
    for slot in range(2):
        for choice in range(3):
            own = concentration[slot, choice].item()
            rest = concentration[slot].sum().item() - own
            assert kstest(draws[:, slot, choice].numpy(), "beta", args=(own, rest)).pvalue > 0.01


def test_the_mean_of_draws_is_mean_weights():
    distribution = _distribution()
    generator = _generator(6)
    with torch.no_grad():
        draws = torch.stack([distribution.weights(generator)["ops"] for _ in range(4000)])
    error = draws.std(0) / math.sqrt(4000)
    assert ((draws.mean(0) - distribution.mean_weights()["ops"]).abs() < 4 * error).all()


def test_the_pathwise_gradient_is_unbiased():
    # E[w] is known, so the mean of dw/dalpha over draws must be the derivative of mean_weights.
    coefficients = torch.tensor([[1.0, -2.0, 0.5], [0.3, 1.0, -1.0]], dtype=torch.float64)
    exact = _distribution()
    (coefficients * exact.mean_weights()["ops"]).sum().backward()
    distribution, generator = _distribution(), _generator(8)
    gradients = []
    for _ in range(4000):
        value = (coefficients * distribution.weights(generator)["ops"]).sum()
        gradients.append(torch.autograd.grad(value, distribution.alpha["ops"])[0])
    stacked = torch.stack(gradients)
    error = stacked.std(0) / math.sqrt(len(gradients))
    assert ((stacked.mean(0) - exact.alpha["ops"].grad).abs() < 4 * error).all()


def test_the_l2_anchor_is_half_the_squared_distance_to_one():
    distribution = _distribution([[1.0, 0.0, 0.0], [0.0, 0.0, 2.0]], anchor_scale=0.1)
    assert distribution.regularizer().item() == pytest.approx(0.1 * 0.5 * (1 + 4))


def test_the_kl_anchor_is_the_scaled_kl():
    distribution = _distribution(anchor="kl", anchor_scale=0.01)
    assert distribution.regularizer().item() == pytest.approx(0.01 * distribution.kl().item())


def test_no_anchor_adds_nothing():
    assert _distribution(anchor="none").regularizer().item() == 0.0


@pytest.mark.parametrize("anchor", ["l2", "kl"])
def test_descending_the_anchor_leads_to_the_uniform_distribution(anchor):
    distribution = _distribution(anchor=anchor, anchor_scale=1.0)
    sgd = torch.optim.SGD(distribution.parameters(), lr=0.2)
    for _ in range(400):
        sgd.zero_grad()
        distribution.regularizer().backward()
        sgd.step()
    torch.testing.assert_close(
        distribution.alpha["ops"].detach(), torch.zeros(2, 3, dtype=torch.float64),
        rtol=0, atol=1e-4,
    )  # fmt: skip


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-200, 200, width=32), min_size=6, max_size=6), st.integers(0, 2**31))
def test_draws_and_gradients_are_finite_for_any_parameters(values, seed):
    distribution = _distribution([values[:3], values[3:]], dtype=torch.float32)
    weights = distribution.weights(_generator(seed))["ops"]
    torch.testing.assert_close(weights.sum(-1), torch.ones(2))
    weights.square().sum().backward()
    assert distribution.alpha["ops"].grad.isfinite().all()
    assert all(math.isfinite(value) for value in distribution.statistics().values())
