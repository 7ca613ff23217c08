"""The optimizer inside real training loops: scalers, clipping, compilation, real networks."""

import pytest
import torch

from balenas_optimizer_ngvi import NGVI

VARIANTS = ["vadam", "ivon", "vogn"]


def problem(variant, mc_samples=1, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    p = torch.nn.Parameter(torch.randn(6, 5, generator=generator))
    optimizer = NGVI(
        [p], 0.05, ess=100.0, variant=variant, mc_samples=mc_samples, generator=generator, **options
    )
    return p, optimizer


def losses(p):
    return ((p - torch.arange(3.0).view(3, 1, 1)) ** 2).mean((1, 2))


@pytest.mark.parametrize("unscale", [False, True])
@pytest.mark.parametrize("mc_samples", [1, 2])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_gradient_scaler_changes_nothing(variant, mc_samples, unscale):
    def run(scaler):
        p, optimizer = problem(variant, mc_samples)
        for _ in range(3):
            optimizer.zero_grad()
            for _ in range(mc_samples):
                with optimizer.sampled_params():
                    optimizer.backward(scaler.scale(losses(p)))
            if unscale and scaler.is_enabled():
                scaler.unscale_(optimizer)
            scaler.step(optimizer)
            scaler.update()
        return p.detach(), optimizer.state[p]["hess"]

    with_scaler = run(torch.amp.GradScaler("cpu", init_scale=2.0**10))
    without = run(torch.amp.GradScaler("cpu", enabled=False))
    torch.testing.assert_close(with_scaler, without, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mc_samples", [1, 2])
def test_a_scaler_skips_the_step_on_infinity(mc_samples):
    p, optimizer = problem("ivon", mc_samples)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    before = p.detach().clone()
    for _ in range(mc_samples):
        with optimizer.sampled_params():
            p.grad = scaler.scale(torch.full_like(p, float("inf")))
    scaler.step(optimizer)
    scaler.update()
    assert torch.equal(p.detach(), before)
    assert optimizer.param_groups[0]["step"] == 0
    assert scaler.get_scale() == 4.0


@pytest.mark.parametrize("variant", VARIANTS)
def test_clipping_before_the_step_acts_on_gradient_and_curvature(variant):
    def run(factor, clip):
        p, optimizer = problem(variant, 2, initial_sigma=1e-6, hess_init=None)
        for _ in range(2):
            with optimizer.sampled_params():
                optimizer.backward(factor * losses(p))
        if clip:
            torch.nn.utils.clip_grad_norm_([p], 1e-3)
        norm = p.grad.norm().item()
        optimizer.step()
        return optimizer.state[p]["hess"], norm

    clipped, norm = run(1.0, clip=True)
    assert norm == pytest.approx(1e-3, rel=1e-3)
    _, free = run(1.0, clip=False)
    scaled, _ = run(norm / free, clip=False)
    torch.testing.assert_close(clipped, scaled, rtol=1e-4, atol=0.0)


@pytest.mark.parametrize("backend", ["torch", "auto"])
@pytest.mark.parametrize("variant", ["vadam", "ivon"])
def test_a_compiled_step_follows_the_same_trajectory(variant, backend):
    def run(wrap):
        torch._dynamo.reset()
        p, optimizer = problem(variant, backend=backend)
        step = wrap(optimizer.step)
        for _ in range(4):
            optimizer.zero_grad()
            with optimizer.sampled_params():
                losses(p).mean().backward()
            step()
        return p.detach(), optimizer.state[p]["hess"]

    compiled = run(lambda f: torch.compile(f, backend="aot_eager"))
    torch.testing.assert_close(compiled, run(lambda f: f))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_network_learns(variant):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(64, 4, generator=generator)
    targets = (inputs[:, :1] * inputs[:, 1:2]).sign()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    lr = {"vadam": 0.02, "ivon": 0.3, "vogn": 0.05}[variant]
    optimizer = NGVI(
        model.named_parameters(),
        lr,
        # Vadam squares small gradients: it needs more data for as narrow a posterior.
        ess=1e5 if variant == "vadam" else 2000.0,
        variant=variant,
        initial_sigma=0.05,
        betas=(0.9, 0.99),
        generator=generator,
    )

    def loss():
        return torch.nn.functional.soft_margin_loss(model(inputs), targets, reduction="none")[:, 0]

    first = loss().mean().item()
    for _ in range(300):

        def closure():
            optimizer.zero_grad()
            return loss()

        optimizer.step(closure)
    assert loss().mean().item() < 0.6 * first


def test_per_example_squares_equal_a_loop():
    p, optimizer = problem("vogn", betas=(0.0, 0.0))
    with optimizer.sampled_params():
        expected = sum(
            torch.autograd.grad(loss, p, retain_graph=True)[0].square() for loss in losses(p)
        )
        optimizer.backward(losses(p), chunk_size=2)
        mean = torch.autograd.grad(losses(p).mean(), p)[0]
    torch.testing.assert_close(p.grad, mean)
    optimizer.step()
    torch.testing.assert_close(optimizer.state[p]["hess"], expected / 3)
