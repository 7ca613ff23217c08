"""What holds for any history of gradients."""

import math

import torch
from hypothesis import given, settings, strategies as st

from balenas_optimizer_ngvi import NGVI

GRADIENTS = st.lists(
    st.lists(st.floats(-1e4, 1e4, width=32), min_size=3, max_size=3), min_size=1, max_size=8
)
VARIANTS = st.sampled_from(["vadam", "ivon"])
BACKENDS = st.sampled_from(["torch", "auto"])
BETAS = st.tuples(st.floats(0, 0.99), st.floats(0, 0.9999))


def feed(history, *, order=(0, 1, 2), dtype=torch.float64, **options):
    p = torch.nn.Parameter(torch.zeros(3, dtype=dtype))
    options = {"ess": 100.0, "lr": 0.01} | options
    optimizer = NGVI([p], options.pop("lr"), **options)
    for gradient in history:
        with optimizer.sampled_params():
            p.grad = torch.tensor(gradient, dtype=dtype)[list(order)]
        optimizer.step()
    return p, optimizer


@settings(max_examples=60, deadline=None)
@given(GRADIENTS, VARIANTS, BACKENDS, BETAS, st.sampled_from([torch.float32, torch.float64]))
def test_the_precision_stays_positive(history, variant, backend, betas, dtype):
    p, optimizer = feed(history, variant=variant, backend=backend, betas=betas, dtype=dtype)
    sigma = optimizer.posterior(p).sigma
    assert bool((sigma > 0).all())
    assert sigma.isfinite().all()
    assert p.isfinite().all()


@settings(max_examples=30, deadline=None)
@given(GRADIENTS, BETAS)
def test_vadam_commutes_with_permutations(history, betas):
    order = (2, 0, 1)
    p, _ = feed(history, betas=betas)
    q, _ = feed(history, betas=betas, order=order)
    torch.testing.assert_close(p.detach()[list(order)], q.detach())


@settings(max_examples=30, deadline=None)
@given(GRADIENTS, VARIANTS, st.floats(1e-3, 10))
def test_no_step_is_longer_than_lr_times_the_radius(history, variant, radius):
    p = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimizer = NGVI([p], 0.01, ess=100.0, variant=variant, clip_radius=radius, rescale_lr=False)
    for gradient in history:
        before = p.detach().clone()
        with optimizer.sampled_params():
            p.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        assert (p.detach() - before).abs().max() <= 0.01 * radius * (1 + 1e-9)


@settings(max_examples=30, deadline=None)
@given(GRADIENTS, VARIANTS)
def test_kl_is_not_negative_and_entropy_is_the_sum_of_log_sigma(history, variant):
    p, optimizer = feed(history, variant=variant)
    assert optimizer.kl().item() >= -1e-9
    sigma = optimizer.posterior(p).sigma
    expected = sigma.log().sum().item() + 1.5 * math.log(2 * math.pi * math.e)
    assert math.isclose(optimizer.entropy().item(), expected, rel_tol=1e-9, abs_tol=1e-9)


@settings(max_examples=30, deadline=None)
@given(GRADIENTS, st.floats(0.25, 4))
def test_scaling_ess_and_loss_together_leaves_ivons_posterior(history, factor):
    scaled = [[factor * g for g in gradient] for gradient in history]
    common = {"variant": "ivon", "rescale_lr": False}
    common["generator"] = torch.Generator().manual_seed(0)
    p, one = feed(history, hess_init=1.0, **common)
    common["generator"] = torch.Generator().manual_seed(0)
    q, two = feed(scaled, hess_init=factor, ess=100.0 / factor, **common)
    torch.testing.assert_close(one.posterior(p).sigma, two.posterior(q).sigma, rtol=1e-6, atol=0.0)
    torch.testing.assert_close(p.detach(), q.detach(), rtol=1e-6, atol=1e-9)
