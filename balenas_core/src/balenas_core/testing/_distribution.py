"""Checks of distributions over architectures."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from balenas_core.interfaces.distribution import ArchitectureDistribution, DiscreteDistribution
from balenas_core.interfaces.space import Decision, Weights
from balenas_core.random import generator
from balenas_core.testing._module_state import ModuleState
from balenas_core.testing._plugin import PluginConformance
from balenas_core.testing._toy import ToySpace

SMALL = (
    Decision("operations", ("first", "second"), ("none", "skip", "conv")),
    Decision("other", ("a",), ("x", "y")),
)
"""Two decisions of different shapes."""

OTHER = (Decision("depth", ("only",), ("1", "2", "3", "4")),)
_LEARNING_STEPS = 150
_DRAWS = 400


class DistributionConformance(PluginConformance):
    """Relaxed weights are on the simplex, draws follow the generator, the state is complete."""

    kind = "distribution"
    base = ArchitectureDistribution

    def distribution(
        self, seed: int = 0, decisions: Sequence[Decision] = SMALL
    ) -> ArchitectureDistribution:
        """Build the distribution over small decisions."""
        distribution: ArchitectureDistribution = self.build(
            decisions=decisions, generator=generator(seed)
        )
        return distribution

    def make(self) -> ArchitectureDistribution:
        """Build it as a search does."""
        return self.distribution()

    def use(self) -> None:
        """Draw, measure, learn a little and go on."""
        distribution = self.distribution(0, ToySpace().decisions)
        distribution.set_progress(0.5)
        distribution.weights(generator(0))["operations"][:, 0].sum().backward()
        distribution.draw(ToySpace(), 3, generator(1))
        distribution.argmax(ToySpace())
        distribution.entropy()
        distribution.regularizer()
        distribution.statistics()
        distribution.load_state_dict(distribution.state_dict())

    def test_weights_are_rows_of_probabilities_of_the_decisions_shape(self) -> None:
        for decisions in (SMALL, OTHER):
            distribution = self.distribution(0, decisions)
            assert tuple(distribution.decisions) == decisions, (
                "hand the decisions to super().__init__(decisions)"
            )
            for fraction in (0.0, 0.5, 1.0):
                distribution.set_progress(fraction)
                for name, draw in _draws(distribution).items():
                    _assert_on_simplex(draw(generator(0)), decisions, name)

    def test_weights_are_differentiable_in_the_parameters(self) -> None:
        distribution = self.distribution()
        parameters = list(distribution.parameters())
        assert parameters, "there is nothing to learn: make what is learned an nn.Parameter"
        for name in ("weights", "mean_weights"):
            for d in SMALL:
                weights = _draws(distribution)[name](generator(0))
                assert weights[d.name].requires_grad, (
                    f"{name}()[{d.name!r}] has no gradient in any parameter; do not detach it"
                )
                slopes = torch.autograd.grad(
                    _uneven(weights[d.name]), parameters, allow_unused=True
                )
                known = [slope for slope in slopes if slope is not None]
                assert any(bool(slope.any()) for slope in known), (
                    f"{name}()[{d.name!r}] has no gradient in any parameter; do not detach it"
                )
                assert all(slope.isfinite().all() for slope in known), (
                    f"a gradient of {name}()[{d.name!r}] is not finite"
                )

    def test_draws_are_a_function_of_the_generator(self) -> None:
        distribution = self.distribution()
        for name in ("weights", "draw_weights"):
            draw = _draws(distribution)[name]
            torch.manual_seed(1)
            first = _values(draw(generator(5)))
            torch.manual_seed(2)
            again = _values(draw(generator(5)))
            assert torch.equal(first, again), (
                f"{name}() must draw from its generator alone: pass generator=generator to torch"
            )
        draw = distribution.draw_weights
        source = generator(5)
        first, second = _values(draw(source)), _values(draw(source))
        assert not torch.equal(first, _values(draw(generator(6)))), (
            "draw_weights() ignores its generator: draws of two seeds are equal"
        )
        assert not torch.equal(first, second), "two draws from one generator are equal"

    def test_it_starts_from_its_generator(self) -> None:
        torch.manual_seed(1)
        first = _values(self.distribution(3).mean_weights())
        torch.manual_seed(2)
        again = _values(self.distribution(3).mean_weights())
        assert torch.equal(first, again), "initial values must come from the generator alone"

    def test_looking_at_it_changes_nothing(self) -> None:
        distribution = self.distribution()
        _descend(distribution, steps=3)
        before, state = _looks(distribution), ModuleState(distribution)
        again = _looks(distribution)
        changed = [name for name, value in before.items() if not torch.equal(value, again[name])]
        assert not changed, f"{changed} give another answer when asked again"
        assert not state.changes(), f"looking at it changes {state.changes()}"

    def test_it_can_learn_a_choice(self) -> None:
        distribution = self.distribution()
        entropy = distribution.entropy().item()
        _descend(distribution, steps=_LEARNING_STEPS)
        for d in SMALL:
            row = distribution.mean_weights()[d.name].detach()
            assert (row.argmax(-1) == 0).all(), (
                f"after {_LEARNING_STEPS} steps towards the first choice, mean_weights() still "
                f"prefers others: {row}. Let it depend on what weights() depends on"
            )
        source = generator(1)
        hits = [
            (distribution.draw_weights(source)[d.name].argmax(-1) == 0).double().mean().item()
            for _ in range(20)
            for d in SMALL
        ]
        share = sum(hits) / len(hits)
        assert share > 0.6, (
            f"weights() learned the first choice, but only {100 * share:.0f} % of draw_weights() "
            f"have it: draw from what is learned"
        )
        if isinstance(distribution, DiscreteDistribution):
            after = distribution.entropy().item()
            assert after < entropy, f"the entropy must fall as it learns: {entropy} -> {after}"

    def test_state_dict_restores_the_distribution(self) -> None:
        source, target = self.distribution(0), self.distribution(1)
        source.set_progress(0.5)
        _descend(source, steps=5)
        state = copy.deepcopy(source.state_dict())
        assert all(isinstance(value, Tensor) for value in state.values()), (
            f"state_dict() must hold tensors; got {state}"
        )
        target.set_progress(0.5)
        target.load_state_dict(state)
        before, after = _looks(source), _looks(target)
        changed = [name for name, value in before.items() if not torch.equal(value, after[name])]
        assert not changed, (
            f"a restored distribution differs in {changed}: keep everything that changes in "
            f"parameters or buffers (register_buffer), and in no other attribute"
        )
        _assert_equal_looks(source, copy.deepcopy(source), "a copy")

    def test_double_precision_and_copies_work(self) -> None:
        distribution = self.distribution().double()
        for name, draw in _draws(distribution).items():
            for value in draw(generator(0)).values():
                assert value.dtype == torch.float64, (
                    f"after double(), {name}() is {value.dtype}: take the parameters' dtype"
                )

    def test_entropy_and_statistics_are_finite_numbers(self) -> None:
        distribution = self.distribution()
        for what in ("entropy", "regularizer"):
            value = getattr(distribution, what)()
            assert isinstance(value, Tensor), f"{what}() must be a tensor; got {value!r}"
            assert value.dim() == 0, f"{what}() must be a scalar; got {tuple(value.shape)}"
            assert math.isfinite(value.item()), f"{what}() is {value.item()}"
        assert_statistics(distribution.statistics())

    def test_architectures_that_it_draws_are_allowed(self) -> None:
        space = ToySpace()
        distribution = self.distribution(0, space.decisions)
        drawn = distribution.draw(space, 30, generator(0))
        assert len(drawn) == 30, f"draw(space, 30, ...) returned {len(drawn)}"
        assert len(set(drawn)) > 1, "thirty draws at the start are all alike"
        refused = [
            a for a in (*drawn, distribution.argmax(space)) if not distribution.allows(space, a)
        ]
        assert not refused, f"it drew {refused[0]}, which allows() refuses"

    def test_probabilities_are_those_of_its_draws(self) -> None:
        provided = "categorical" in self.ref().load().provides
        distribution = self.distribution(0, OTHER)
        assert isinstance(distribution, DiscreteDistribution) == provided, (
            "provides=('categorical',) is what a balenas_core DiscreteDistribution declares, and "
            "no other"
        )
        if not isinstance(distribution, DiscreteDistribution):
            return
        (decision,) = OTHER
        choices = torch.eye(len(decision.choices))
        _descend(distribution, steps=10)
        logs = [distribution.log_prob({decision.name: row[None]}) for row in choices]
        probability = torch.stack(logs).exp().detach()
        assert abs(probability.sum().item() - 1) < 1e-4, (
            f"exp(log_prob) of all choices must sum to one; got {probability.tolist()}"
        )
        assert logs[0].requires_grad, "log_prob must be differentiable in the parameters"
        source = generator(0)
        draws = [distribution.sample(source)[decision.name] for _ in range(_DRAWS)]
        assert all(set(draw.flatten().tolist()) == {0.0, 1.0} for draw in draws), "one-hot draws"
        assert not draws[0].requires_grad, "sample() has no gradient"
        share = torch.stack(draws).mean(0)[0]
        assert (share - probability).abs().max() < 0.12, (
            f"of {_DRAWS} draws {share.tolist()} fell on each choice; log_prob says "
            f"{probability.tolist()}"
        )


def assert_statistics(statistics: Any) -> None:
    """Check what ``statistics()`` returns.

    Raises:
        AssertionError: It is no mapping of names to finite numbers.
    """
    assert isinstance(statistics, Mapping), f"statistics() must be a mapping; got {statistics!r}"
    for name, value in statistics.items():
        assert isinstance(name, str), f"a statistic must have a name; got {name!r}"
        assert isinstance(value, float | int), (
            f"statistics()[{name!r}] must be a float, not {type(value).__name__}; call .item()"
        )
        assert math.isfinite(value), f"statistics()[{name!r}] is {value}"


def uneven_towards_the_first(weights: Weights) -> Tensor:
    """Return a loss that is lowest where every slot has its first choice."""
    return -torch.stack([w[:, 0].clamp_min(1e-6).log().sum() for w in weights.values()]).sum()


def _draws(
    distribution: ArchitectureDistribution,
) -> Mapping[str, Callable[[Generator], Weights]]:
    return {
        "weights": distribution.weights,
        "mean_weights": lambda generator: distribution.mean_weights(),
        "draw_weights": distribution.draw_weights,
    }


def _assert_on_simplex(weights: Any, decisions: Sequence[Decision], name: str) -> None:
    assert isinstance(weights, Mapping), f"{name}() must be a mapping; got {weights!r}"
    assert set(weights) == {d.name for d in decisions}, (
        f"{name}() must have one table for each decision; got {sorted(weights)}"
    )
    for d in decisions:
        table = weights[d.name]
        assert tuple(table.shape) == d.shape, (
            f"{name}()[{d.name!r}] must be {d.shape}, slots x choices; got {tuple(table.shape)}"
        )
        assert table.dtype == torch.float32, f"{name}()[{d.name!r}] is {table.dtype}"
        assert (table >= 0).all(), f"{name}()[{d.name!r}] has weights below zero: {table}"
        sums = table.sum(-1).detach()
        assert torch.allclose(sums, torch.ones_like(sums), atol=1e-5), (
            f"rows of {name}()[{d.name!r}] must sum to one; got {sums.tolist()}"
        )


def _uneven(table: Tensor) -> Tensor:
    return (table * torch.arange(1.0, 1 + table.numel()).reshape(table.shape)).sum()


def _values(weights: Weights) -> Tensor:
    return torch.cat([value.detach().flatten() for value in weights.values()])


def _descend(distribution: ArchitectureDistribution, *, steps: int) -> None:
    optimizer = torch.optim.Adam(distribution.parameters(), lr=0.1)
    source = generator(0, "descent")
    for _ in range(steps):
        optimizer.zero_grad()
        loss = uneven_towards_the_first(distribution.weights(source))
        loss.backward()
        optimizer.step()
    optimizer.zero_grad()


def _looks(distribution: ArchitectureDistribution) -> dict[str, Tensor]:
    """Return all that can be seen of a distribution, of equal generators."""
    statistics = distribution.statistics()
    return {
        **{name: _values(draw(generator(7))) for name, draw in _draws(distribution).items()},
        "entropy": distribution.entropy().detach(),
        "regularizer": distribution.regularizer().detach(),
        "statistics": torch.tensor([float(v) for v in statistics.values()]),
    }


def _assert_equal_looks(
    one: ArchitectureDistribution, other: ArchitectureDistribution, what: str
) -> None:
    before, after = _looks(one), _looks(other)
    changed = [name for name, value in before.items() if not torch.equal(value, after[name])]
    assert not changed, f"{what} differs in {changed}"
