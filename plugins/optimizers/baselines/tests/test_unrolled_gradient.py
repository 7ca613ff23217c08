import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from balenas_core.distributions import GumbelSoftmaxDistribution
from balenas_core.interfaces.space import Decision, Supernet
from balenas_core.plugins.builtin import GumbelSoftmaxOptions
from balenas_optimizer_baselines import AdamOptions
from balenas_optimizer_baselines._adam import AdamOptimizer
from balenas_optimizer_baselines._gradient import plain_gradient, unrolled_gradient

DECISIONS = (Decision("ops", ("a", "b"), ("x", "y", "z")),)


class SmoothSupernet(Supernet):
    """Two mixed layers of smooth operations, so that finite differences are accurate."""

    def __init__(self, *, batch_norm: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(4))
        self.norm = nn.BatchNorm1d(4) if batch_norm else nn.Identity()
        self.head = nn.Linear(4, 3)

    def forward(self, x, weights):
        for slot, row in enumerate(weights["ops"]):
            first, second = self.layers[2 * slot], self.layers[2 * slot + 1]
            x = row[0] * x + row[1] * torch.tanh(first(x)) + row[2] * torch.sin(second(x))
        return self.head(self.norm(x))


class Problem:
    """Objective on fixed data; remembers the weights it was called with."""

    def __init__(self, *, batch_norm=False, **sgd):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.supernet = SmoothSupernet(batch_norm=batch_norm).double()
            self.images = [torch.randn(8, 4, dtype=torch.float64) for _ in range(2)]
        self.labels = torch.arange(8) % 3
        self.weight_optimizer = torch.optim.SGD(self.supernet.parameters(), **{"lr": 0.1, **sgd})
        self.seen = []

    def loss(self, which, weights, parameters=None):
        arguments = (self.images[which], weights)
        state = parameters or dict(self.supernet.named_parameters())
        return F.cross_entropy(functional_call(self.supernet, state, arguments), self.labels)

    def __call__(self, weights):
        return self.validation_loss(weights)

    def validation_loss(self, weights):
        self.seen.append({n: w.detach().clone() for n, w in weights.items()})
        return self.loss(1, weights)

    def training_loss(self, weights):
        self.seen.append({n: w.detach().clone() for n, w in weights.items()})
        return self.loss(0, weights)

    def averaged(self, tensors):
        return list(tensors)

    def train(self, steps):
        for _ in range(steps):
            self.weight_optimizer.zero_grad()
            self.loss(0, _weights(seed=1)).backward()
            self.weight_optimizer.step()
        self.weight_optimizer.zero_grad()


def _weights(seed=0):
    logits = torch.randn(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return {"ops": logits.softmax(-1)}


def _exact(problem, weights):
    """Differentiate through one step of SGD by autograd, twice."""
    leaf = weights["ops"].detach().requires_grad_()
    parameters = dict(problem.supernet.named_parameters())
    gradients = torch.autograd.grad(
        problem.loss(0, {"ops": leaf}), list(parameters.values()), create_graph=True
    )
    group = problem.weight_optimizer.param_groups[0]
    after = {}
    for (name, p), gradient in zip(parameters.items(), gradients, strict=True):
        decayed = gradient + group["weight_decay"] * p
        buffer = problem.weight_optimizer.state.get(p, {}).get("momentum_buffer")
        moved = decayed if buffer is None else group["momentum"] * buffer + decayed
        if group["nesterov"]:
            moved = decayed + group["momentum"] * moved
        after[name] = p - group["lr"] * moved
    loss = problem.loss(1, {"ops": leaf}, after)
    return loss.item(), torch.autograd.grad(loss, leaf)[0]


SGD_SETTINGS = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.9, "weight_decay": 0.1},
    {"momentum": 0.9, "weight_decay": 0.1, "nesterov": True},
]


@pytest.mark.parametrize("sgd", SGD_SETTINGS)
@pytest.mark.parametrize("steps", [0, 3])
def test_the_unrolled_gradient_equals_exact_second_order_autograd(sgd, steps):
    problem = Problem(lr=0.5, **sgd)
    problem.train(steps)
    loss, gradient = _exact(problem, _weights())
    found = unrolled_gradient(problem, _weights())
    assert found.loss == pytest.approx(loss, rel=1e-12)
    torch.testing.assert_close(found.gradient["ops"], gradient, rtol=1e-4, atol=1e-7)
    first_order = plain_gradient(problem, _weights()).gradient["ops"]
    # The correction is large here: a wrong factor in it could not pass.
    assert (first_order - gradient).norm() > 0.05 * gradient.norm()


@pytest.mark.parametrize("sgd", SGD_SETTINGS)
def test_the_looked_ahead_step_is_that_of_the_weight_optimizer(sgd):
    problem = Problem(**sgd)
    problem.train(2)
    found = unrolled_gradient(problem, _weights())
    problem.loss(0, _weights()).backward()
    problem.weight_optimizer.step()
    assert found.loss == pytest.approx(problem.loss(1, _weights()).item(), rel=1e-12)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_supernet_is_as_before_to_the_bit(batch_norm):
    problem = Problem(batch_norm=batch_norm, momentum=0.9)
    problem.train(1)
    before = {k: v.clone() for k, v in problem.supernet.state_dict().items()}
    unrolled_gradient(problem, _weights())
    for name, value in problem.supernet.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    assert all(p.grad is None for p in problem.supernet.parameters())


def test_the_supernet_is_as_before_also_after_an_error():
    problem = Problem()
    before = {k: v.clone() for k, v in problem.supernet.state_dict().items()}

    def fail(weights):
        raise KeyboardInterrupt

    problem.validation_loss = fail
    with pytest.raises(KeyboardInterrupt):
        unrolled_gradient(problem, _weights())
    for name, value in problem.supernet.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_a_validation_loss_that_ignores_the_network_has_no_correction():
    problem = Problem()
    problem.validation_loss = lambda weights: weights["ops"].square().sum()
    found = unrolled_gradient(problem, _weights())
    torch.testing.assert_close(found.gradient["ops"], 2 * _weights()["ops"])


def test_all_four_passes_see_the_same_noise():
    problem = Problem()
    distribution = GumbelSoftmaxDistribution(
        GumbelSoftmaxOptions(), decisions=DECISIONS, generator=torch.Generator().manual_seed(0)
    ).double()
    optimizer = AdamOptimizer(
        AdamOptions(unrolled=True, lr=0.1),
        distribution=distribution,
        dataset_size=100,
        generator=torch.Generator().manual_seed(5),
    )
    optimizer.step(problem)
    assert len(problem.seen) == 4
    for call in problem.seen:
        torch.testing.assert_close(call["ops"], problem.seen[0]["ops"], rtol=0, atol=0)
    optimizer.step(problem)
    assert not torch.equal(problem.seen[-1]["ops"], problem.seen[0]["ops"])


def test_a_gradient_that_ignores_the_step_would_choose_differently():
    # Minimising over W what SGD reaches after its step, by a line search on exact losses.
    problem = Problem(lr=0.5)
    weights = _weights()
    found = unrolled_gradient(problem, weights).gradient["ops"]
    first_order = plain_gradient(problem, weights).gradient["ops"]
    eps = 1e-3
    down = [
        _exact(problem, {"ops": weights["ops"] - eps * g / g.norm()})[0]
        for g in (found, first_order)
    ]
    assert down[0] < down[1] < math.inf
