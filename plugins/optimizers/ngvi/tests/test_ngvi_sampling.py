"""Drawing, restoring, averaging over samples: the optimizer's life between two steps."""

import math

import pytest
import torch

from balenas_optimizer_ngvi import (
    NGVI,
    CosineSchedule,
    LinearSchedule,
    OptionError,
    SequenceError,
)

BACKENDS = ["torch", "auto"]
VARIANTS = ["vadam", "ivon"]


def make(values=(1.0, 2.0, 3.0), seed=0, **options):
    p = torch.nn.Parameter(torch.tensor(values, dtype=options.pop("dtype", torch.float32)))
    options = {"ess": 10.0, "initial_sigma": 0.5, "lr": 0.1} | options
    lr = options.pop("lr")
    generator = torch.Generator().manual_seed(seed)
    return p, NGVI([("alpha", p)], lr, generator=generator, **options)


@pytest.mark.parametrize("backend", BACKENDS)
def test_parameters_hold_a_sample_inside_and_the_mean_outside(backend):
    p, optimizer = make(backend=backend)
    pointer, before = p.data_ptr(), p.detach().clone()
    with optimizer.sampled_params():
        assert not torch.equal(p, before)
        assert p.data_ptr() == pointer
        torch.testing.assert_close(optimizer.posterior(p).mean, before)
    assert torch.equal(p, before)
    assert p.data_ptr() == pointer


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_exception_brings_the_mean_back_and_the_sample_does_not_count(backend):
    p, optimizer = make(backend=backend)
    before = p.detach().clone()
    with pytest.raises(KeyError, match="boom"), optimizer.sampled_params():
        raise KeyError("boom")
    assert torch.equal(p, before)
    with pytest.raises(SequenceError, match="got 0"):
        optimizer.step()


@pytest.mark.parametrize("backend", BACKENDS)
def test_samples_have_the_posteriors_mean_and_sigma(backend):
    p = torch.nn.Parameter(torch.full((200_003,), 3.0))
    optimizer = NGVI([p], 0.1, ess=10.0, initial_sigma=0.5, backend=backend)
    with optimizer.sampled_params(train=False):
        z = (p.detach() - 3.0) / 0.5
    assert z.mean().item() == pytest.approx(0, abs=0.01)
    assert z.std().item() == pytest.approx(1, abs=0.01)
    assert z.pow(3).mean().item() == pytest.approx(0, abs=0.03)
    assert z.pow(4).mean().item() == pytest.approx(3, abs=0.1)
    # Neighbours, and neighbours in the next group of four, are independent.
    for lag in (1, 2, 3, 4):
        assert (z[lag:] * z[:-lag]).mean().item() == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_antithetic_samples_come_in_opposite_pairs(backend, variant):
    p, optimizer = make(backend=backend, variant=variant, mc_samples=3, antithetic=True)
    deviations = []
    for _ in range(3):
        with optimizer.sampled_params():
            deviations.append(p.detach() - torch.tensor([1.0, 2.0, 3.0]))
        # A draw for prediction between partners must not disturb them.
        with optimizer.sampled_params(train=False):
            pass
    torch.testing.assert_close(deviations[0], -deviations[1], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(deviations[2].abs(), deviations[0].abs())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_several_samples_average_gradients_and_curvatures(backend, variant):
    p, optimizer = make(
        backend=backend, variant=variant, mc_samples=3, dtype=torch.float32, betas=(0.0, 0.5)
    )
    start, sigma = p.detach().clone(), optimizer.posterior(p).sigma
    hess = optimizer.state[p]["hess"].clone()
    gradients, noises = [], []
    for _ in range(3):
        with optimizer.sampled_params():
            # Gradients are not cleared in between: the optimizer keeps samples apart.
            (p**2).sum().backward()
            gradients.append(p.grad.clone())
            noises.append((p.detach() - start) / sigma)
        torch.testing.assert_close(p.detach(), start)
    mean = sum(gradients) / 3
    torch.testing.assert_close(p.grad, mean)
    optimizer.step()
    if variant == "vadam":
        expected = 0.5 * hess + 0.5 * sum(g * g for g in gradients) / 3
    else:
        product = sum(g * z for g, z in zip(gradients, noises, strict=True)) / 3
        estimate = product / sigma
        expected = 0.5 * (hess + estimate) + 0.125 * (hess - estimate) ** 2 / (hess + 0.1)
    torch.testing.assert_close(optimizer.state[p]["hess"], expected, rtol=1e-4, atol=1e-5)


def test_noise_is_never_written_back_into_the_mean():
    p, optimizer = make(variant="ivon", lr=1e-30, mc_samples=4)
    before = p.detach().clone()
    for _ in range(5):
        optimizer.step(lambda: (p * 0.0).sum())
    torch.testing.assert_close(p.detach(), before, rtol=0, atol=0)


def test_a_change_of_the_parameter_between_steps_is_kept():
    for backend in BACKENDS:
        p, optimizer = make(backend=backend)
        with optimizer.sampled_params():
            p.grad = torch.zeros_like(p)
        with torch.no_grad():
            p.fill_(7.0)
        optimizer.param_groups[0]["lr"] = 1e-30
        optimizer.step()
        torch.testing.assert_close(p.detach(), torch.full((3,), 7.0))


@pytest.mark.parametrize("backend", BACKENDS)
def test_replaced_memory_of_a_parameter_is_noticed(backend):
    p, optimizer = make(backend=backend)
    with optimizer.sampled_params():
        p.grad = torch.ones_like(p)
    optimizer.step()
    hess = optimizer.state[p]["hess"].clone()
    p.data = torch.tensor([9.0, 9.0, 9.0])
    with optimizer.sampled_params():
        assert not torch.equal(p.detach(), torch.full((3,), 9.0))
    torch.testing.assert_close(p.detach(), torch.full((3,), 9.0))
    torch.testing.assert_close(optimizer.state[p]["hess"], hess)


@pytest.mark.parametrize("backend", BACKENDS)
def test_parameters_without_gradient_are_left_alone(backend):
    used, unused = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    optimizer = NGVI([unused, used], 0.1, ess=10.0, backend=backend, variant="ivon")
    for _ in range(2):
        with optimizer.sampled_params():
            (used**2).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert torch.equal(unused.detach(), torch.ones(3))
    assert torch.equal(optimizer.state[unused]["hess"], torch.ones(3))
    assert not torch.equal(used.detach(), torch.ones(3))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_missing_gradient_in_one_sample_counts_as_zero(backend):
    def run(give_zero):
        p, optimizer = make(backend=backend, mc_samples=2)
        for k in range(2):
            with optimizer.sampled_params():
                if k == 0:
                    p.grad = torch.ones_like(p)
                elif give_zero:
                    p.grad = torch.zeros_like(p)
        optimizer.step()
        return p.detach(), optimizer.state[p]["hess"]

    torch.testing.assert_close(run(True), run(False))


def test_frozen_parameters_are_not_sampled():
    frozen = torch.nn.Parameter(torch.ones(3), requires_grad=False)
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = NGVI([p, frozen], 0.1, ess=10.0)
    with optimizer.sampled_params():
        assert torch.equal(frozen, torch.ones(3))
    frozen.requires_grad_(True)
    with optimizer.sampled_params(train=False):
        assert not torch.equal(frozen, torch.ones(3))


def test_step_with_a_closure_draws_the_samples_itself():
    p, optimizer = make(mc_samples=3)
    seen = []

    def closure():
        optimizer.zero_grad()
        seen.append(p.detach().clone())
        loss = (p**2).sum()
        loss.backward()
        return loss

    loss = optimizer.step(closure)
    assert len(seen) == 3
    assert len({tuple(s.tolist()) for s in seen}) == 3
    torch.testing.assert_close(loss, sum((s**2).sum() for s in seen) / 3)
    assert optimizer.param_groups[0]["step"] == 1


def test_draws_for_prediction_leave_gradients_and_pending_samples_alone():
    def run(predict):
        p, optimizer = make(variant="ivon", seed=1)
        with optimizer.sampled_params():
            (p**2).sum().backward()
        if predict:
            with optimizer.sampled_params(train=False):
                pass
        optimizer.step()
        return p.detach()

    torch.testing.assert_close(run(True), run(False))


def test_the_same_seed_gives_the_same_trajectory():
    def run(seed):
        p, optimizer = make(seed=seed, variant="ivon")
        for _ in range(3):
            optimizer.zero_grad()
            with optimizer.sampled_params():
                (p**2).sum().backward()
            optimizer.step()
        return p.detach()

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))


def test_the_global_generator_is_not_touched():
    before = torch.get_rng_state()
    p, optimizer = make()
    with optimizer.sampled_params():
        p.grad = torch.ones_like(p)
    optimizer.step()
    assert torch.equal(torch.get_rng_state(), before)


def test_schedules_reach_the_noise():
    p, optimizer = make(
        variant="ivon", temperature=LinearSchedule(2, 0.5, 1.0), hess_init=1.0, initial_sigma=None
    )
    sigmas = []
    for _ in range(3):
        sigmas.append(optimizer.posterior(p).sigma[0].item())
        with optimizer.sampled_params():
            p.grad = None
        # Without any gradient nothing moves, and no step is counted.
        optimizer.step()
    assert len(set(sigmas)) == 1
    for _ in range(2):
        with optimizer.sampled_params():
            p.grad = torch.zeros_like(p)
        optimizer.step()
    hess = optimizer.state[p]["hess"][0].item()
    assert optimizer.posterior(p).sigma[0].item() == pytest.approx(1 / math.sqrt(10 * hess + 1))


def test_schedule_values():
    assert [LinearSchedule(4, 0.2, 1.0)(t) for t in (0, 2, 4, 9)] == pytest.approx(
        [0.2, 0.6, 1.0, 1.0]
    )
    assert [CosineSchedule(4, 1.0, 0.2)(t) for t in (0, 2, 4, 9)] == pytest.approx(
        [1.0, 0.6, 0.2, 0.2]
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_groups_have_options_of_their_own(backend):
    a, b = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    optimizer = NGVI(
        [{"params": [a], "initial_sigma": 0.1, "lr": 1e-30}, {"params": [b], "ess": 1000.0}],
        0.1,
        ess=10.0,
        backend=backend,
    )
    assert optimizer.posterior(a).sigma[0].item() == pytest.approx(0.1)
    assert optimizer.posterior(b).sigma[0].item() == pytest.approx(1.0)
    with optimizer.sampled_params():
        (a.sum() + b.sum()).backward()
    optimizer.step()
    assert torch.equal(a.detach(), torch.ones(3))
    # b1 = 0.5 debiased, s debiased to 1: the step is lr (1 + delta) / (1 + delta).
    torch.testing.assert_close(b.detach(), torch.full((3,), 0.9))


def test_a_group_can_join_later():
    p, optimizer = make()
    late = torch.nn.Parameter(torch.zeros(2))
    with optimizer.sampled_params():
        p.grad = torch.ones_like(p)
    optimizer.step()
    optimizer.add_param_group({"params": [("late", late)], "hess_init": 4.0})
    assert optimizer.posterior(late).sigma[0].item() == pytest.approx(1 / math.sqrt(41))
    with optimizer.sampled_params():
        (p.sum() + late.sum()).backward()
    optimizer.step()
    assert [group["step"] for group in optimizer.param_groups] == [2, 1]


def test_entropy_and_kl_sum_over_groups_and_dtypes():
    a = torch.nn.Parameter(torch.ones(3))
    b = torch.nn.Parameter(torch.full((2,), 2.0, dtype=torch.float64))
    optimizer = NGVI([a, b], 0.1, ess=10.0, initial_sigma=0.5)
    entropy = 5 * (math.log(0.5) + 0.5 * math.log(2 * math.pi * math.e))
    kl = 0.5 * (5 * (0.25 - 1 - 2 * math.log(0.5)) + 3 * 1 + 2 * 4)
    assert optimizer.entropy().item() == pytest.approx(entropy)
    assert optimizer.kl().item() == pytest.approx(kl)
    with optimizer.sampled_params(train=False):
        assert optimizer.kl().item() == pytest.approx(kl)


def test_lr_schedulers_work():
    p, optimizer = make(lr=1.0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    with optimizer.sampled_params():
        p.grad = torch.ones_like(p)
    optimizer.step()
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_a_schedule_that_leaves_its_range_leaves_the_means_in_place():
    a, b = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(2))
    sizes = {"b": 10.0}
    groups = [{"params": [a]}, {"params": [b], "ess": lambda step: sizes["b"]}]
    optimizer = NGVI(groups, 0.1, ess=10.0)
    before = optimizer.generator.get_state()
    sizes["b"] = -1.0
    with pytest.raises(OptionError, match=r"got -1\.0 at step 0"), optimizer.sampled_params():
        pass
    assert a.tolist() == [1.0, 1.0, 1.0]
    assert torch.equal(optimizer.generator.get_state(), before)
    sizes["b"] = 10.0
    with optimizer.sampled_params():
        assert a.tolist() != [1.0, 1.0, 1.0]
