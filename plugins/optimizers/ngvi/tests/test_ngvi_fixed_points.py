"""Where the optimizer converges to, against closed forms and exact Hessians."""

import math

import pytest
import torch

from balenas_optimizer_ngvi import NGVI

ESS, PRIOR = 50.0, 2.0
CURVATURE = torch.tensor([0.5, 1.0, 4.0, 20.0], dtype=torch.float64)
CENTRE = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)


COPIES = 200
"""Independent copies of a problem in one parameter: their average is what is compared."""


def parameter(values=(0.0, 0.0, 0.0, 0.0), dtype=torch.float64):
    return torch.nn.Parameter(torch.tensor(values, dtype=dtype).repeat(COPIES, 1))


def quadratic(p):
    return 0.5 * (CURVATURE * (p - CENTRE).square()).sum()


def minimise(optimizer, loss, steps, average_from):
    """Return mean and curvature of the only parameter, averaged over late steps and copies."""
    (p,) = optimizer.param_groups[0]["params"]
    total = torch.zeros(2, *p.shape, dtype=p.dtype)
    for step in range(steps):

        def closure():
            optimizer.zero_grad()
            value = loss(p)
            if value.dim() == 0:
                value.backward()
            return value

        optimizer.step(closure)
        if step >= average_from:
            total += torch.stack([p.detach(), optimizer.state[p]["hess"]])
    return (total / (steps - average_from)).mean(dim=1)


@pytest.mark.parametrize("backend", ["torch", "auto"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ivon_finds_the_posterior_of_a_quadratic(backend, dtype):
    p = parameter(dtype=dtype)
    optimizer = NGVI(
        [p],
        0.05,
        ess=ESS,
        variant="ivon",
        betas=(0.5, 0.99),
        prior_precision=PRIOR,
        hess_init=2.0,
        rescale_lr=False,
        mc_samples=2,
        antithetic=True,
        generator=torch.Generator().manual_seed(0),
        backend=backend,
    )
    mean, hess = minimise(optimizer, lambda q: quadratic(q.double()), 800, 600)
    expected = ESS * CURVATURE * CENTRE / (ESS * CURVATURE + PRIOR)
    torch.testing.assert_close(mean.double(), expected, rtol=0.005, atol=0.0)
    torch.testing.assert_close(hess.double(), CURVATURE, rtol=0.03, atol=0.01)
    sigma = 1 / (ESS * CURVATURE + PRIOR).sqrt()
    torch.testing.assert_close((ESS * hess.double() + PRIOR).rsqrt(), sigma, rtol=0.02, atol=0.0)


def test_vogn_finds_the_fixed_point_of_per_example_quadratics():
    # Example i has loss c/2 (a - x_i)^2. At the fixed point s = c^2 (var x + (mu - mean x)^2 +
    # sigma^2) with sigma^2 = 1 / (N s + lambda), and mu = N c mean x / (N c + lambda).
    curvature, data = 3.0, torch.tensor([-1.0, 0.0, 2.0, 5.0], dtype=torch.float64)
    p = torch.nn.Parameter(torch.zeros(1, 1, dtype=torch.float64))
    optimizer = NGVI(
        [p],
        0.5,
        ess=ESS,
        variant="vogn",
        betas=(0.0, 0.99),
        prior_precision=PRIOR,
        mc_samples=2,
        antithetic=True,
        generator=torch.Generator().manual_seed(0),
    )
    mean, hess = minimise(optimizer, lambda q: 0.5 * curvature * (q[0] - data).square(), 1000, 600)
    centre = data.mean().item()
    mu = ESS * curvature * centre / (ESS * curvature + PRIOR)
    spread = data.var(unbiased=False).item() + (mu - centre) ** 2
    s = 0.0
    for _ in range(100):
        s = curvature**2 * (spread + 1 / (ESS * s + PRIOR))
    assert mean.item() == pytest.approx(mu, rel=0.01)
    assert hess.item() == pytest.approx(s, rel=0.01)


def test_vadam_finds_the_mean_and_the_mean_square_of_the_gradient():
    # For the quadratic, E g^2 = D^2 ((mu - c)^2 + sigma^2): biased as a Hessian, and known.
    p = parameter()
    optimizer = NGVI(
        [p],
        0.02,
        ess=ESS,
        betas=(0.5, 0.99),
        prior_precision=PRIOR,
        mc_samples=2,
        antithetic=True,
        generator=torch.Generator().manual_seed(0),
    )
    mean, hess = minimise(optimizer, quadratic, 1500, 1200)
    # The square root changes the length of a step, not where the gradient vanishes.
    expected = ESS * CURVATURE * CENTRE / (ESS * CURVATURE + PRIOR)
    torch.testing.assert_close(mean, expected, rtol=0.03, atol=0.0)
    s = torch.zeros_like(CURVATURE)
    for _ in range(200):
        s = CURVATURE**2 * ((expected - CENTRE).square() + 1 / (ESS * s + PRIOR))
    torch.testing.assert_close(hess, s, rtol=0.1, atol=0.01)


@pytest.mark.parametrize(
    ("rms", "sigma"), [(1e-3, 0.988), (3e-3, 0.904), (1e-2, 0.535), (3e-2, 0.206), (1e-1, 0.063)]
)
def test_vadam_sigma_settles_where_the_method_says(rms, sigma):
    p = parameter()
    optimizer = NGVI([p], 1e-6, ess=25000, betas=(0.5, 0.9))
    for step in range(120):
        with optimizer.sampled_params():
            p.grad = torch.full_like(p, rms if step % 2 else -rms)
        optimizer.step()
    got = optimizer.posterior(p).sigma
    torch.testing.assert_close(got, torch.full_like(got, sigma), rtol=0.0, atol=5e-4)


def test_ivon_estimates_the_exact_hessian_of_nb201_logits():
    # A smooth loss of 6 x 5 logits; its exact diagonal comes from autograd at the same place.
    generator = torch.Generator().manual_seed(3)
    scores = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    point = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    p = torch.nn.Parameter(point.repeat(COPIES, 1, 1))

    def loss(logits):
        score = (torch.softmax(logits, -1) * scores).sum((-2, -1))
        return (score.exp() + 0.5 * logits.square().sum((-2, -1))).sum()

    exact = torch.autograd.functional.hessian(loss, point).view(30, 30).diagonal().view(6, 5)
    optimizer = NGVI(
        [p],
        1e-12,
        ess=1e6,
        variant="ivon",
        betas=(0.0, 0.98),
        hess_init=1.0,
        mc_samples=2,
        antithetic=True,
        generator=generator,
    )
    _, hess = minimise(optimizer, loss, 700, 300)
    torch.testing.assert_close(hess, exact, rtol=0.05, atol=0.05)


def test_scaling_ess_and_loss_together_changes_nothing():
    # N * L is all that matters to the posterior: N / 4 with 4 L has the same precision.
    def trajectory(factor):
        p = parameter((0.1, 0.2, 0.3, 0.4))
        optimizer = NGVI(
            [p],
            0.05 * factor,
            ess=ESS / factor,
            variant="ivon",
            hess_init=1.0 * factor,
            betas=(0.9, 0.99),
            prior_precision=PRIOR,
            rescale_lr=False,
            generator=torch.Generator().manual_seed(0),
        )
        # The step lr * (g + delta mu) / (h + delta) has factors that cancel, but for lr.
        optimizer.param_groups[0]["lr"] = 0.05
        for _ in range(20):

            def closure():
                optimizer.zero_grad()
                loss = factor * quadratic(p)
                loss.backward()
                return loss

            optimizer.step(closure)
        return p.detach(), optimizer.posterior(p).sigma

    torch.testing.assert_close(trajectory(1.0), trajectory(4.0), rtol=1e-10, atol=1e-12)


def test_temperature_divides_the_effective_sample_size():
    def sigma(**options):
        p = parameter()
        optimizer = NGVI([p], 0.1, variant="ivon", hess_init=1.0, **options)
        return optimizer.posterior(p).sigma

    torch.testing.assert_close(sigma(ess=100, temperature=4.0), sigma(ess=25))
    assert sigma(ess=100)[0, 0].item() == pytest.approx(1 / math.sqrt(101))
