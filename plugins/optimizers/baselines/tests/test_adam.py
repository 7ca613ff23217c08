import math

import pytest
import torch

from balenas_core.distributions import (
    DirichletDistribution,
    GaussianDistribution,
    GumbelSoftmaxDistribution,
    PointDistribution,
)
from balenas_core.errors import DivergenceError
from balenas_core.plugins.builtin import (
    DirichletOptions,
    GaussianOptions,
    GumbelSoftmaxOptions,
    PointOptions,
)
from balenas_core.testing import ToyObjective, ToySpace
from balenas_optimizer_baselines._adam import AdamOptimizer
from balenas_optimizer_baselines._options import AdamOptions

DISTRIBUTIONS = {
    "point": (PointDistribution, PointOptions()),
    "gaussian": (GaussianDistribution, GaussianOptions(initial_sigma=0.3)),
    "soft": (GumbelSoftmaxDistribution, GumbelSoftmaxOptions()),
    "hard": (GumbelSoftmaxDistribution, GumbelSoftmaxOptions(hard=True)),
    "dirichlet": (DirichletDistribution, DirichletOptions()),
}


def _pair(name, **options):
    make, settings = DISTRIBUTIONS[name]
    distribution = make(
        settings, decisions=ToySpace().decisions, generator=torch.Generator().manual_seed(0)
    )
    optimizer = AdamOptimizer(
        AdamOptions(**options),
        distribution=distribution,
        dataset_size=100,
        generator=torch.Generator().manual_seed(1),
    )
    return distribution, optimizer


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_it_drives_every_distribution_to_the_best_architecture(name):
    distribution, optimizer = _pair(name, lr=0.05, weight_decay=0.0)
    objective = ToyObjective(ToySpace().decisions)
    for _ in range(400):
        optimizer.step(objective)
    best = ToySpace().discretize(objective.targets)
    assert distribution.argmax(ToySpace()) == best


def test_the_first_step_is_lr_times_the_sign_of_the_gradient():
    # Adam's bias correction makes the first step lr * g / (|g| + eps).
    distribution, optimizer = _pair("point", lr=0.01, weight_decay=0.0)
    before = distribution.logits["operations"].detach().clone()
    objective = ToyObjective(ToySpace().decisions)
    gradient = torch.autograd.grad(
        objective(distribution.mean_weights()), distribution.logits["operations"]
    )[0]
    optimizer.step(objective)
    torch.testing.assert_close(
        distribution.logits["operations"].detach(), before - 0.01 * gradient.sign(), atol=1e-6,
        rtol=0,
    )  # fmt: skip


def test_the_regularizer_of_the_distribution_joins_the_gradient():
    distribution, optimizer = _pair("dirichlet", lr=1e-9, weight_decay=0.0)
    twin, other = _pair("dirichlet", lr=1e-9, weight_decay=0.0)
    twin._options = DirichletOptions(anchor="none")
    objective = ToyObjective(ToySpace().decisions)
    assert optimizer.step(objective) == other.step(objective)
    regularizer = torch.autograd.grad(distribution.regularizer(), distribution.alpha["operations"])[
        0
    ]
    difference = distribution.alpha["operations"].grad - twin.alpha["operations"].grad
    torch.testing.assert_close(difference, regularizer, rtol=1e-3, atol=1e-8)
    assert regularizer.norm() > 0


def test_a_gradient_that_is_not_finite_is_named_and_changes_nothing():
    distribution, optimizer = _pair("point")
    before = distribution.logits["operations"].detach().clone()

    class Cliff(ToyObjective):
        def __call__(self, weights):
            # sqrt at zero: a finite loss whose gradient is infinite.
            return (weights["operations"] - weights["operations"].detach()).abs().sqrt().sum()

    with pytest.raises(DivergenceError, match=r"the gradient of logits\.operations is not finite"):
        optimizer.step(Cliff(ToySpace().decisions))
    torch.testing.assert_close(distribution.logits["operations"].detach(), before, rtol=0, atol=0)


def test_the_loss_it_returns_is_the_validation_loss():
    distribution, optimizer = _pair("point")
    objective = ToyObjective(ToySpace().decisions)
    expected = objective(distribution.mean_weights()).item()
    assert optimizer.step(objective) == pytest.approx(expected)
    assert math.isfinite(expected)


@pytest.mark.parametrize("unrolled", [False, True])
def test_a_draw_that_cuts_the_input_off_moves_nothing(unrolled):
    distribution, optimizer = _pair("hard", weight_decay=0.0, unrolled=unrolled)
    before = distribution.logits["operations"].detach().clone()

    class Constant(ToyObjective):
        def __call__(self, weights):
            return torch.tensor(2.5)

        def validation_loss(self, weights):
            return next(self.supernet.parameters()).sum()

        training_loss = validation_loss

    objective = Constant(ToySpace().decisions)
    optimizer.step(objective)
    torch.testing.assert_close(distribution.logits["operations"].detach(), before, rtol=0, atol=0)
