import itertools
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings, strategies as st

from balenas_core.config import (
    CurvatureConfig,
    EarlyStoppingConfig,
    PerturbationConfig,
    ProcessesConfig,
    TrainingConfig,
)
from balenas_core.distributions import PointDistribution
from balenas_core.engine._shared_step import SharedStep
from balenas_core.engine.bilevel import BilevelLoop, Precision
from balenas_core.engine.modifiers import (
    EarlyStopping,
    LimitedDistribution,
    has_risen,
    perturbation_radius,
    perturbed,
)
from balenas_core.engine.processes import Processes
from balenas_core.errors import UsageError
from balenas_core.interfaces.proxy import Batch
from balenas_core.interfaces.space import Task
from balenas_core.plugins.builtin import PointOptions
from balenas_core.testing import ToySpace


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _point(logits=None):
    point = PointDistribution(
        PointOptions(), decisions=ToySpace().decisions, generator=_generator()
    )
    if logits is not None:
        with torch.no_grad():
            point.logits["operations"].copy_(torch.tensor(logits))
    return point


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.floats(0, 1, width=32), min_size=6, max_size=6),
    st.floats(0, 1),
    st.integers(0, 2**31),
)
def test_perturbed_weights_stay_on_the_simplex_and_zeros_stay_zero(values, radius, seed):
    rows = torch.tensor(values).view(2, 3) + torch.tensor([0.0, 0.0, 1e-3])
    weights = rows / rows.sum(-1, keepdim=True)
    moved = perturbed({"ops": weights}, radius, _generator(seed))["ops"]
    assert (moved >= 0).all()
    torch.testing.assert_close(moved.sum(-1), torch.ones(2))
    assert (moved[weights == 0] == 0).all()


def test_perturbation_without_a_radius_changes_nothing():
    weights = torch.tensor([[0.2, 0.3, 0.5]])
    torch.testing.assert_close(perturbed({"ops": weights}, 0.0, _generator())["ops"], weights)


def test_perturbation_is_uniform_within_its_radius():
    # Two choices at 1/2: no clamping below radius 1/2, and the row's sum averages to one.
    weights = torch.full((4000, 2), 0.5, dtype=torch.float64)
    moved = perturbed({"ops": weights}, 0.1, _generator())["ops"]
    ratio = moved[:, 0] / moved[:, 1]
    assert ratio.max() <= 0.6 / 0.4
    assert ratio.max() > 1.4
    assert moved[:, 0].mean().item() == pytest.approx(0.5, abs=0.005)


def test_the_radius_grows_linearly():
    config = PerturbationConfig(start=0.03, end=0.3)
    radii = [perturbation_radius(config, fraction) for fraction in (0.0, 0.5, 1.0)]
    assert radii == pytest.approx([0.03, 0.165, 0.3])


def _loop(**options):
    space, task = ToySpace(), Task((1, 4, 4), 3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        supernet = space.supernet(task).double()
    seen = []
    forward = supernet.forward
    supernet.forward = lambda x, weights: seen.append(weights) or forward(x, weights)
    device, distribution = torch.device("cpu"), _point().double()
    optimizer = SimpleNamespace(set_progress=lambda fraction: None)
    loop = BilevelLoop(
        supernet,
        distribution,
        optimizer,
        training=TrainingConfig(lr=0.1),
        precision=Precision(device, torch.float64),
        generator=_generator(),
        shared=SharedStep(
            Processes(0, 1, device),
            ProcessesConfig(),
            supernet=supernet,
            distribution=distribution,
            optimizer=optimizer,
            seed=0,
        ),
        optimizer_generator=_generator(),
        **options,
    )
    images = torch.randn(8, *task.input_shape, dtype=torch.float64, generator=_generator(1))
    return loop, Batch(images, torch.arange(8) % 3), seen


def test_the_network_is_trained_at_perturbed_weights_that_are_never_written_back():
    loop, batch, seen = _loop(perturbation=PerturbationConfig(start=0.1, end=0.2))
    logits = loop.distribution.logits["operations"].detach().clone()
    for step in range(20):
        loop.weight_step(batch, step)
    mean = loop.distribution.mean_weights()["operations"].detach()
    distances = [(w["operations"] - mean).abs().max().item() for w in seen]
    assert min(distances) > 0
    assert max(distances) < 0.2  # within the radius, up to the division by the row's sum
    torch.testing.assert_close(
        loop.distribution.logits["operations"].detach(), logits, rtol=0, atol=0
    )


def test_progress_widens_the_perturbation():
    loop, batch, seen = _loop(perturbation=PerturbationConfig(start=0.0, end=0.3))
    loop.weight_step(batch, 0)
    loop.set_progress(1.0)
    loop.weight_step(batch, 1)
    mean = loop.distribution.mean_weights()["operations"].detach()
    torch.testing.assert_close(seen[0]["operations"], mean)
    assert (seen[1]["operations"] - mean).abs().max() > 0.05


def test_the_curvature_of_a_supernet_equals_its_exact_hessian_and_changes_nothing():
    loop, batch, _ = _loop()
    logits = loop.distribution.logits["operations"]
    before = {k: v.clone() for k, v in loop.supernet.state_dict().items()}
    found = loop.curvature(batch, CurvatureConfig(iterations=300, samples=2000), _generator(2))

    def loss(value):
        outputs = loop.supernet(batch.images, {"operations": value.softmax(-1)})
        return torch.nn.functional.cross_entropy(outputs, batch.labels)

    exact = torch.autograd.functional.hessian(loss, logits.detach()).view(6, 6)
    assert found.top_eigenvalue == pytest.approx(
        torch.linalg.eigvalsh(exact).max().item(), rel=1e-5
    )
    off_diagonal = exact - torch.diag(exact.diag())
    error = (2 * off_diagonal.square().sum() / 2000).sqrt().item()
    assert abs(found.trace - exact.trace().item()) < 4 * error
    assert logits.grad is None
    assert all(p.requires_grad and p.grad is None for p in loop.supernet.parameters())
    for name, value in loop.supernet.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_a_rise_is_judged_by_means_of_two_windows():
    assert not has_risen([1, 1, 1, 5, 5], window=3, ratio=0.75)
    assert not has_risen([9, 1, 1, 1, 1, 1, 1.2], window=3, ratio=0.75)
    assert has_risen([1, 1, 1, 1.3, 1.4, 1.4], window=3, ratio=0.75)
    assert not has_risen([1, 1, 1, 1.3, 1.3, 1.3], window=3, ratio=0.75)


def test_early_stopping_returns_to_the_distribution_one_window_back():
    distribution = _point()
    stopping = EarlyStopping(EarlyStoppingConfig(window=2, ratio=0.75))
    for epoch, eigenvalue in enumerate([1.0, 1.0, 1.0, 2.0]):
        assert not stopping.has_stopped
        with torch.no_grad():
            distribution.logits["operations"].fill_(epoch)
        stopping.update(eigenvalue, distribution)
    assert stopping.has_stopped
    assert (distribution.logits["operations"] == 1.0).all()


def test_early_stopping_goes_on_from_its_state():
    config = EarlyStoppingConfig(window=2, ratio=0.75)
    first, second, distribution = EarlyStopping(config), EarlyStopping(config), _point()
    for value in (1.0, 1.0, 1.0):
        first.update(value, distribution)
    second.load_state_dict(first.state_dict())
    for stopping in (first, second):
        stopping.update(2.0, distribution)
    assert first.has_stopped
    assert second.has_stopped


def test_a_limit_takes_the_choice_from_the_slots_where_it_weighs_least():
    # skip is column 1 and wins in both slots, by more in the first.
    distribution = _point([[0.0, 3.0, 1.0], [0.0, 2.0, 1.0]])
    assert str(distribution.argmax(ToySpace())) == "skip-skip"
    limited = LimitedDistribution(distribution, ToySpace(), {"skip": 1})
    assert str(limited.argmax(ToySpace())) == "skip-conv"
    none = LimitedDistribution(distribution, ToySpace(), {"skip": 0})
    assert str(none.argmax(ToySpace())) == "conv-conv"
    torch.testing.assert_close(
        limited.weights(_generator())["operations"], distribution.mean_weights()["operations"]
    )


def test_no_draw_exceeds_a_limit_and_those_within_it_are_as_before():
    distribution = _point([[0.0, 2.0, 0.0], [0.0, 2.0, 0.0]])
    limited = LimitedDistribution(distribution, ToySpace(), {"skip": 1})
    pairs = zip(
        distribution.draw(ToySpace(), 100, _generator(1)),
        limited.draw(ToySpace(), 100, _generator(1)),
        strict=True,
    )
    changed = 0
    for plain, allowed in pairs:
        assert allowed.operations.count("skip") <= 1
        changed += plain != allowed
        assert (plain != allowed) == (plain.operations.count("skip") > 1)
    assert changed > 10


def test_architectures_from_elsewhere_are_judged_by_the_limits_too():
    limited = LimitedDistribution(_point(), ToySpace(), {"skip": 1})
    assert limited.allows(ToySpace(), ToySpace().parse("skip-conv"))
    assert not limited.allows(ToySpace(), ToySpace().parse("skip-skip"))
    assert _point().allows(ToySpace(), ToySpace().parse("skip-skip"))


def test_limits_hold_for_one_hot_weights_too():
    class OneHot(PointDistribution):
        def mean_weights(self):
            return ToySpace().one_hot(ToySpace().parse("skip-skip"))

    one_hot = OneHot(PointOptions(), decisions=ToySpace().decisions, generator=_generator())
    limited = LimitedDistribution(one_hot, ToySpace(), {"skip": 0, "none": 1})
    assert limited.argmax(ToySpace()).operations.count("skip") == 0


def test_an_unknown_choice_and_impossible_limits_are_refused():
    with pytest.raises(UsageError, match=r"no decision .* has the choice 'skp'. Did you mean"):
        LimitedDistribution(_point(), ToySpace(), {"skp": 1})
    limited = LimitedDistribution(_point(), ToySpace(), {"skip": 0, "none": 0, "conv": 1})
    with pytest.raises(UsageError, match="cannot be met in every cell"):
        limited.argmax(ToySpace())


@pytest.mark.parametrize(
    "limits",
    [
        dict(zip(("none", "skip", "conv"), numbers, strict=True))
        for numbers in itertools.product(range(3), repeat=3)
        if sum(numbers) >= 2
    ],
)
def test_any_limits_that_can_be_met_are_met(limits):
    for seed in range(5):
        logits = torch.randn(2, 3, generator=_generator(seed)).tolist()
        limited = LimitedDistribution(_point(logits), ToySpace(), limits)
        operations = limited.argmax(ToySpace()).operations
        assert all(operations.count(name) <= limit for name, limit in limits.items())
