"""The update rules against numbers worked out by hand."""

import math

import pytest
import torch

from balenas_optimizer_ngvi import _formulas
from balenas_optimizer_ngvi._formulas import StepOptions

DTYPES = [torch.float32, torch.float64]


def options(**changes):
    values = {
        "lr": 0.5,
        "beta1": 0.5,
        "beta2": 0.75,
        "ess": 8.0,
        "prior": 2.0,
        "radius": math.inf,
        "step": 1,
        "debias": True,
    }
    return StepOptions(**(values | changes))


def run(rule, values, curvature, opts, dtype):
    mean, momentum, hess, gradient = (torch.tensor([v], dtype=dtype) for v in values)
    given = None if curvature is None else torch.tensor([curvature], dtype=dtype)
    scratch = (torch.empty(1, dtype=dtype), torch.empty(1, dtype=dtype))
    rule(mean, momentum, hess, gradient, given, opts, scratch)
    return mean.item(), momentum.item(), hess.item()


@pytest.mark.parametrize("dtype", DTYPES)
def test_first_vadam_step_by_hand(dtype):
    # delta = 2/8; m = 0.5 (3 + 0.25 * 4) = 2, debiased 4; s = 0.25 * 9 = 2.25, debiased 9;
    # mu = 4 - 0.5 * 4 / (3 + 0.25).
    got = run(_formulas.vadam_, (4.0, 0.0, 0.0, 3.0), None, options(), dtype)
    assert got == pytest.approx((4 - 2 / 3.25, 2.0, 2.25), rel=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_third_vadam_step_with_given_squares_by_hand(dtype):
    # m = 0.5 * 1 + 0.5 (3 + 1) = 2.5, debiased by 0.875; s = 0.75 * 4 + 0.25 * 16 = 7,
    # debiased by 1 - 0.75^3 = 0.578125.
    got = run(_formulas.vadam_, (4.0, 1.0, 4.0, 3.0), 16.0, options(step=3), dtype)
    step = (2.5 / 0.875) / (math.sqrt(7 / 0.578125) + 0.25)
    assert got == pytest.approx((4 - 0.5 * step, 2.5, 7.0), rel=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_first_ivon_step_by_hand(dtype):
    # h + delta = 2; eps * g = -0.5; hhat = sqrt(8 * 2) * -0.5 = -2; h - hhat = 3.75;
    # h = 0.75 * 1.75 - 0.25 * 2 + 0.5 * 0.0625 * 14.0625 / 2 = 1.0322265625;
    # m = 1.5, debiased 3; mu = 4 - 0.5 (3 + 0.25 * 4) / 1.2822265625.
    got = run(_formulas.ivon_, (4.0, 0.0, 1.75, 3.0), -0.5, options(), dtype)
    assert got == pytest.approx((4 - 2 / 1.2822265625, 1.5, 1.0322265625), rel=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_first_vogn_step_by_hand(dtype):
    # s = 0.75 * 1 + 0.25 * 5 = 2; with b1 = 0: mu = 4 - 0.5 (3 + 0.25 * 4) / 2.25, which is
    # 4 - 0.5 (8 * 3 + 2 * 4) / P with P = 8 * 2 + 2.
    got = run(_formulas.vogn_, (4.0, 0.0, 1.0, 3.0), 5.0, options(beta1=0.0), dtype)
    assert got == pytest.approx((4 - 0.5 * 32 / 18, 3.0, 2.0), rel=1e-6)


@pytest.mark.parametrize(
    ("rule", "curvature"),
    [(_formulas.vadam_, None), (_formulas.ivon_, -0.5), (_formulas.vogn_, 5.0)],
)
def test_radius_bounds_the_step_and_nothing_else(rule, curvature):
    start = (4.0, 0.0, 1.75, 3.0)
    free = run(rule, start, curvature, options(), torch.float64)
    clipped = run(rule, start, curvature, options(radius=0.5), torch.float64)
    assert clipped == pytest.approx((4 - 0.5 * 0.5, *free[1:]))


@pytest.mark.parametrize(
    ("rule", "curvature"),
    [(_formulas.vadam_, None), (_formulas.ivon_, -0.5), (_formulas.vogn_, 5.0)],
)
def test_without_debiasing_the_step_number_does_not_matter(rule, curvature):
    start = (4.0, 0.3, 1.75, 3.0)
    one = run(rule, start, curvature, options(debias=False), torch.float64)
    nine = run(rule, start, curvature, options(debias=False, step=9), torch.float64)
    assert one == nine


def test_new_hessian_keeps_half_of_the_precision_at_worst():
    # The worst estimate for gain 1/4: h - hhat = (h + delta) / gain, which halves h + delta.
    hess, shifted = torch.tensor([1.0]), torch.tensor([1.5])
    error = torch.tensor([1.5 / 0.25])
    _formulas.new_hessian_(hess, error, shifted, 0.75)
    assert hess.item() + 0.5 == pytest.approx(0.75)


def test_sample_is_the_mean_plus_sigma_times_noise():
    mean, hess, noise = (torch.tensor([v]) for v in (1.0, 2.0, 3.0))
    out = torch.empty(1)
    _formulas.sample_(out, mean, hess, noise, ess=1.5, prior=1.0, scratch=torch.empty(1))
    assert out.item() == pytest.approx(1 + 3 / 2)
    assert _formulas.sigma(hess, ess=1.5, prior=1.0).item() == pytest.approx(0.5)


def test_entropy_and_kl_by_hand():
    mean, hess = torch.tensor([1.0, -2.0]), torch.tensor([1.0, 4.0])
    # Precisions 2 * 1 + 1 = 3 and 2 * 4 + 1 = 9.
    entropy = 0.5 * (2 * math.log(2 * math.pi * math.e) - math.log(3) - math.log(9))
    kl = 0.5 * (1 / 3 + 1 - 1 + math.log(3) + 1 / 9 + 4 - 1 + math.log(9))
    assert _formulas.entropy(hess, ess=2.0, prior=1.0).item() == pytest.approx(entropy)
    assert _formulas.kl(mean, hess, ess=2.0, prior=1.0).item() == pytest.approx(kl)


def test_kl_agrees_with_torch_distributions():
    generator = torch.Generator().manual_seed(0)
    mean, hess = torch.randn(5, generator=generator), torch.rand(5, generator=generator)
    sigma = _formulas.sigma(hess, ess=3.0, prior=0.5)
    own = torch.distributions.Normal(mean, sigma)
    prior = torch.distributions.Normal(torch.zeros(5), torch.full((5,), 0.5**-0.5))
    expected = torch.distributions.kl_divergence(own, prior).sum()
    torch.testing.assert_close(_formulas.kl(mean, hess, ess=3.0, prior=0.5), expected)
    torch.testing.assert_close(_formulas.entropy(hess, ess=3.0, prior=0.5), own.entropy().sum())
