import itertools
import math

import pytest
import torch

from balenas_core.distributions import GaussianDistribution, PointDistribution
from balenas_core.interfaces.space import Decision
from balenas_core.plugins.builtin import GaussianOptions, PointOptions
from balenas_optimizer_baselines._options import ReinforceOptions
from balenas_optimizer_baselines._reinforce import ReinforceOptimizer

DECISIONS = (Decision("ops", ("a", "b"), ("x", "y", "z")),)


class TableObjective:
    """A loss for each of nine architectures; the accuracy prefers another one."""

    losses = torch.tensor([[0.9, 0.4, 0.7], [0.8, 0.3, 0.1], [0.5, 0.6, 1.2]], dtype=torch.float64)

    def __call__(self, weights):
        first, second = weights["ops"]
        assert set(weights["ops"].flatten().tolist()) <= {0.0, 1.0}
        return first @ self.losses @ second

    def accuracy(self, weights):
        return 90.0 if weights["ops"].argmax(-1).tolist() == [2, 2] else 10.0


def _pair(logits=None, **options):
    distribution = PointDistribution(
        PointOptions(), decisions=DECISIONS, generator=torch.Generator().manual_seed(0)
    ).double()
    if logits is not None:
        with torch.no_grad():
            distribution.logits["ops"].copy_(torch.tensor(logits))
    optimizer = ReinforceOptimizer(
        ReinforceOptions(**options),
        distribution=distribution,
        dataset_size=10,
        generator=torch.Generator().manual_seed(2),
    )
    return distribution, optimizer


def test_the_mean_update_is_the_gradient_of_the_expected_loss():
    # E[loss] by enumeration; lr so small that every step is taken at the same logits.
    logits = [[0.2, -0.3, 0.5], [0.0, 0.4, -0.6]]
    distribution, optimizer = _pair(logits, lr=1e-12, baseline_decay=0.5)
    objective, gradients = TableObjective(), []
    parameter = distribution.logits["ops"]
    for _ in range(6000):
        optimizer.step(objective)
        gradients.append(parameter.grad.clone())
    leaf = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    p = leaf.softmax(-1)
    expected = sum(
        p[0, i] * p[1, j] * objective.losses[i, j] for i, j in itertools.product(range(3), repeat=2)
    )
    exact = torch.autograd.grad(expected, leaf)[0]
    stacked = torch.stack(gradients)
    error = stacked.std(0) / math.sqrt(len(gradients))
    assert ((stacked.mean(0) - exact).abs() < 4 * error).all()
    assert (exact.abs() > 4 * error).any()  # enough draws to see a gradient at all


@pytest.mark.parametrize(("reward", "best"), [("loss", [1, 2]), ("accuracy", [2, 2])])
def test_it_finds_the_best_architecture(reward, best):
    distribution, optimizer = _pair(reward=reward, lr=0.05, samples=4)
    for _ in range(400):
        optimizer.step(TableObjective())
    assert distribution.logits["ops"].argmax(-1).tolist() == best


def test_the_baseline_is_a_moving_mean_of_rewards():
    _, optimizer = _pair(baseline_decay=0.75)
    assert optimizer.statistics() == {}
    first = -optimizer.step(TableObjective())
    assert optimizer.statistics()["reward_baseline"] == pytest.approx(first)
    second = -optimizer.step(TableObjective())
    expected = 0.75 * first + 0.25 * second
    assert optimizer.statistics()["reward_baseline"] == pytest.approx(expected)


def test_the_entropy_bonus_alone_leads_to_equal_probabilities():
    distribution, optimizer = _pair([[3.0, 0.0, 0.0], [0.0, 2.0, 0.0]], lr=0.05, entropy_weight=1.0)

    class Flat(TableObjective):
        losses = torch.zeros(3, 3, dtype=torch.float64)

    for _ in range(500):
        optimizer.step(Flat())
    assert distribution.entropy().item() == pytest.approx(2 * math.log(3), rel=1e-2)


def test_a_distribution_without_discrete_draws_is_refused():
    gaussian = GaussianDistribution(
        GaussianOptions(), decisions=DECISIONS, generator=torch.Generator().manual_seed(0)
    )
    with pytest.raises(TypeError, match="needs a distribution with discrete draws"):
        ReinforceOptimizer(
            ReinforceOptions(),
            distribution=gaussian,
            dataset_size=10,
            generator=torch.Generator().manual_seed(0),
        )
