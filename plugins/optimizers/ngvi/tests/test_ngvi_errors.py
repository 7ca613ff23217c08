"""What is refused, and what the messages say."""

import math

import pytest
import torch

from balenas_core.errors import DivergenceError, UsageError
from balenas_optimizer_ngvi import (
    NGVI,
    LinearSchedule,
    NonFiniteGradientError,
    OptionError,
    SequenceError,
    per_sample_moments,
)


def parameter():
    return torch.nn.Parameter(torch.ones(3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ess": 0}, "`ess` must be a number, positive and finite; got 0"),
        ({"ess": -5.0}, "got -5.0"),
        ({"ess": math.inf}, "got inf"),
        ({"lr": 0.0}, "`lr` must be a number, positive"),
        ({"lr": math.nan}, "got nan"),
        ({"betas": (1.0, 0.9)}, r"`betas` must be two numbers in \[0, 1\); got \(1.0, 0.9\)"),
        ({"betas": (0.9, -0.1)}, r"got \(0.9, -0.1\)"),
        ({"temperature": 0.0}, "`temperature`"),
        ({"prior_precision": 0.0}, "`prior_precision` must be positive"),
        ({"prior_precision": -1.0}, "got -1.0"),
        ({"hess_init": 0.0}, "`hess_init` must be positive and finite; got 0.0"),
        ({"hess_init": -1.0, "variant": "ivon"}, "got -1.0"),
        ({"initial_sigma": 0.0}, "`initial_sigma` must be positive"),
        ({"initial_sigma": 2.0}, "at most the prior's"),
        ({"initial_sigma": 1.0, "variant": "ivon"}, "below the prior's"),
        ({"initial_sigma": 0.5, "hess_init": 1.0}, "not both"),
        ({"clip_radius": 0.0}, "`clip_radius`"),
        ({"mc_samples": 0}, "`mc_samples` must be a whole number of at least 1; got 0"),
        ({"mc_samples": 1.5}, "got 1.5"),
        ({"variant": "adam"}, "vadam, ivon, vogn; got 'adam'"),
        ({"backend": "gpu"}, "auto, native, torch; got 'gpu'"),
        ({"ess": lambda step: -1.0}, "schedule of `ess`.*got -1.0 at step 0"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    options = {"lr": 0.1, "ess": 10.0} | options
    lr = options.pop("lr")
    with pytest.raises(OptionError, match=message) as caught:
        NGVI([parameter()], lr, **options)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, UsageError)


@pytest.mark.parametrize("params", [[], [{"params": []}]])
def test_no_parameters_are_refused(params):
    with pytest.raises(OptionError, match="no parameters"):
        NGVI(params, 0.1, ess=10.0)


def test_a_bad_group_leaves_the_optimizer_as_it_was():
    optimizer = NGVI([parameter()], 0.1, ess=10.0)
    with pytest.raises(OptionError, match="`ess`"):
        optimizer.add_param_group({"params": [parameter()], "ess": 0.0})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize("dtype", [torch.complex64, torch.bfloat16, torch.float16])
def test_parameters_of_other_types_are_refused(dtype):
    with pytest.raises(OptionError, match="must be float32 or float64; got torch"):
        NGVI([torch.nn.Parameter(torch.ones(2, dtype=dtype))], 0.1, ess=10.0)


@pytest.mark.parametrize("mc_samples", [1, 2])
def test_sparse_gradients_are_refused(mc_samples):
    table = torch.nn.Embedding(5, 2, sparse=True)
    optimizer = NGVI(table.parameters(), 0.1, ess=10.0, mc_samples=mc_samples)
    before = table.weight.detach().clone()

    def closure():
        optimizer.zero_grad()
        loss = table(torch.tensor([1, 2])).sum()
        loss.backward()
        return loss

    with pytest.raises(OptionError, match=r"dense and real.*sparse"):
        optimizer.step(closure)
    torch.testing.assert_close(table.weight.detach(), before)


@pytest.mark.parametrize("backend", ["torch", "auto"])
@pytest.mark.parametrize("mc_samples", [1, 2])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_non_finite_gradient_is_refused_and_nothing_changes(backend, mc_samples, bad):
    good, spoilt = parameter(), parameter()
    optimizer = NGVI(
        [("good", good), ("cells.0.alpha", spoilt)],
        0.1,
        ess=10.0,
        backend=backend,
        mc_samples=mc_samples,
        variant="ivon",
    )

    def run(value):
        for _ in range(mc_samples):
            with optimizer.sampled_params():
                good.grad = torch.ones(3)
                spoilt.grad = torch.tensor([1.0, value, 1.0])
        optimizer.step()

    run(1.0)
    before = [t.clone() for p in (good, spoilt) for t in (p.detach(), *optimizer.state[p].values())]
    with pytest.raises(NonFiniteGradientError, match=r"'cells.0.alpha' has [12] NaN or inf") as e:
        run(bad)
    assert isinstance(e.value, DivergenceError)
    after = [t for p in (good, spoilt) for t in (p.detach(), *optimizer.state[p].values())]
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    assert optimizer.param_groups[0]["step"] == 1
    run(1.0)
    assert optimizer.param_groups[0]["step"] == 2


def test_a_parameter_without_name_is_called_by_its_place():
    p = parameter()
    optimizer = NGVI([p], 0.1, ess=10.0)
    with optimizer.sampled_params():
        p.grad = torch.full((3,), math.nan)
    with pytest.raises(NonFiniteGradientError, match=r"parameter 0 of group 0, of shape \(3,\)"):
        optimizer.step()


@pytest.mark.parametrize("backend", ["torch", "auto"])
def test_a_sum_that_overflows_is_not_mistaken_for_infinity(backend):
    p = torch.nn.Parameter(torch.zeros(4))
    optimizer = NGVI([p], 0.1, ess=10.0, backend=backend)
    with optimizer.sampled_params():
        p.grad = torch.full((4,), 3e38)
    optimizer.step()
    assert p.isfinite().all()


def test_step_without_a_sample_is_refused():
    p = parameter()
    optimizer = NGVI([p], 0.1, ess=10.0, mc_samples=2)
    p.grad = torch.ones(3)
    with pytest.raises(SequenceError, match="mc_samples=2 sampled gradients; got 0"):
        optimizer.step()


def test_too_many_samples_are_refused_until_they_are_discarded():
    p = parameter()
    optimizer = NGVI([p], 0.1, ess=10.0)
    with optimizer.sampled_params():
        pass
    with pytest.raises(SequenceError, match="mc_samples=1 draws"), optimizer.sampled_params():
        pass
    optimizer.discard_samples()
    with optimizer.sampled_params():
        pass


@pytest.mark.parametrize(
    "call",
    [
        lambda o: o.sampled_params().__enter__(),
        lambda o: o.step(),
        lambda o: o.state_dict() and o.load_state_dict(o.state_dict()),
        lambda o: o.add_param_group({"params": [parameter()]}),
    ],
)
def test_what_needs_the_mean_is_refused_inside_a_sample(call):
    optimizer = NGVI([parameter()], 0.1, ess=10.0)
    with optimizer.sampled_params(), pytest.raises(SequenceError, match="leave it first"):
        call(optimizer)


def test_vogn_without_per_example_losses_says_what_to_call():
    p = parameter()
    optimizer = NGVI([p], 0.1, ess=10.0, variant="vogn")
    with (
        pytest.raises(SequenceError, match=r"optimizer.backward\(losses\)"),
        optimizer.sampled_params(),
    ):
        p.sum().backward()
    assert torch.equal(p.detach(), torch.ones(3))


def test_a_scalar_is_no_vector_of_losses():
    with pytest.raises(OptionError, match=r"losses.shape=torch.Size\(\[\]\).*reduction='none'"):
        per_sample_moments(parameter().sum(), [])


def test_posterior_of_a_stranger_is_refused():
    optimizer = NGVI([parameter()], 0.1, ess=10.0)
    with pytest.raises(OptionError, match="not a trained parameter"):
        optimizer.posterior(parameter())


def test_a_generator_elsewhere_is_refused():
    class Elsewhere:
        device = torch.device("cuda", 0)

    with pytest.raises(OptionError, match="`generator` must be on the CPU; got one on cuda:0"):
        NGVI([parameter()], 0.1, ess=10.0, generator=Elsewhere())


def test_bad_schedules_are_refused():
    with pytest.raises(OptionError, match="`steps` must be at least 1; got 0"):
        LinearSchedule(0, 1.0, 2.0)
    with pytest.raises(OptionError, match=r"got 0\.0 and 1\.0"):
        LinearSchedule(5, 0.0, 1.0)
