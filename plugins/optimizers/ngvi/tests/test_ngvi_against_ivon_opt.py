"""The same trajectory as the package of IVON's authors, from the same noise and gradients."""

import pytest
import torch

from balenas_optimizer_ngvi import NGVI

ivon = pytest.importorskip("ivon", reason="ivon-opt is an optional peer")


def data():
    generator = torch.Generator().manual_seed(5)
    return torch.randn(16, 6, generator=generator), torch.randn(16, 1, generator=generator)


def network():
    generator = torch.Generator().manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.Tanh(), torch.nn.Linear(4, 4))
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator))
    return model


def train(optimizer, model, samples, steps=20):
    inputs, targets = data()
    trace = []
    for step in range(steps):
        torch.manual_seed(step)
        for _ in range(samples):
            with optimizer.sampled_params(train=True):
                optimizer.zero_grad()
                torch.nn.functional.mse_loss(model(inputs)[:, :1], targets).backward()
        optimizer.step()
        trace.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    return torch.stack(trace)


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("rescale_lr", [True, False])
@pytest.mark.parametrize("clip_radius", [float("inf"), 1e-3])
def test_trajectory_equals_ivon_opt(samples, rescale_lr, clip_radius):
    peer_model, model = network(), network()
    peer = ivon.IVON(
        peer_model.parameters(),
        lr=0.05,
        ess=100.0,
        hess_init=0.5,
        beta1=0.9,
        beta2=0.99,
        weight_decay=1e-2,
        mc_samples=samples,
        clip_radius=clip_radius,
        rescale_lr=rescale_lr,
    )
    own = NGVI(
        model.parameters(),
        0.05,
        ess=100.0,
        variant="ivon",
        hess_init=0.5,
        betas=(0.9, 0.99),
        prior_precision=1.0,
        mc_samples=samples,
        clip_radius=clip_radius,
        rescale_lr=rescale_lr,
        generator=torch.default_generator,
        backend="torch",
    )
    torch.testing.assert_close(
        train(own, model, samples), train(peer, peer_model, samples), rtol=1e-5, atol=1e-5
    )
