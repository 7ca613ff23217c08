"""Checks of architecture optimizers."""

from __future__ import annotations

import copy
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from balenas_core.errors import DivergenceError
from balenas_core.interfaces.distribution import ArchitectureDistribution
from balenas_core.interfaces.optimizer import ArchitectureOptimizer
from balenas_core.interfaces.space import Decision
from balenas_core.random import generator
from balenas_core.testing._distribution import OTHER, SMALL, assert_statistics
from balenas_core.testing._module_state import ModuleState, same
from balenas_core.testing._objective import RecordedObjective
from balenas_core.testing._plugin import PluginConformance

Pair = tuple[ArchitectureDistribution, ArchitectureOptimizer]


class OptimizerConformance(PluginConformance):
    """Steps descend, leave the supernet alone, and go on exactly from a saved state."""

    kind = "optimizer"
    base = ArchitectureOptimizer
    steps: ClassVar[int] = 200

    def pair(
        self, seed: int = 0, decisions: Sequence[Decision] = SMALL, *, draws: int | None = None
    ) -> Pair:
        """Build the optimizer with its default distribution over small decisions.

        Args:
            seed: Of the distribution, and of the optimizer.
            decisions: What is optimised.
            draws: Seed of the optimizer where it is another.
        """
        defaults = self.ref().load().defaults
        assert "distribution" in defaults, (
            "declare defaults={'distribution': ...}: the distribution to take when none is named"
        )
        distribution: ArchitectureDistribution = (
            self.registry()
            .find("distribution", defaults["distribution"])
            .build(decisions=decisions, generator=generator(seed, "distribution"))
        )
        optimizer: ArchitectureOptimizer = self.build(
            distribution=distribution,
            dataset_size=1000,
            generator=generator(seed if draws is None else draws, "optimizer"),
        )
        optimizer.set_length(self.steps)
        optimizer.set_progress(0.0)
        return distribution, optimizer

    def make(self) -> ArchitectureOptimizer:
        """Build it as a search does."""
        return self.pair()[1]

    def use(self) -> None:
        """Take some steps, save and go on."""
        _, optimizer = self.pair()
        if optimizer.uses_supernet:
            objective = RecordedObjective(SMALL)
            for _ in range(2):
                optimizer.step(objective)
        optimizer.statistics()
        optimizer.load_state_dict(optimizer.state_dict())

    def test_steps_lower_the_loss_at_the_mean(self) -> None:
        for decisions in (SMALL, OTHER):
            distribution, optimizer = self.pair(0, decisions)
            if not optimizer.uses_supernet:
                return
            objective = RecordedObjective(decisions)
            start = {k: w.detach().clone() for k, w in distribution.mean_weights().items()}
            before = objective.distance(start)
            for step in range(self.steps):
                optimizer.set_progress(step / self.steps)
                loss = optimizer.step(objective)
                assert isinstance(loss, float), (
                    f"step() must return a float; got {type(loss).__name__}. Call .item()"
                )
                assert math.isfinite(loss), f"step() returned {loss}"
            after = objective.distance(distribution.mean_weights())
            assert after < before, (
                f"{self.steps} steps took the loss at the mean from {before:.4g} to {after:.4g}; "
                f"it must fall. Check the sign of the gradient, and the step size"
            )
            end = distribution.mean_weights()
            still = [name for name, table in start.items() if torch.equal(table, end[name])]
            assert not still, f"decisions {still} never move; update all of the parameters"

    def test_a_step_returns_the_loss_that_it_saw(self) -> None:
        _, optimizer = self.pair()
        if not optimizer.uses_supernet:
            return
        objective = RecordedObjective(SMALL)
        for _ in range(3):
            objective.losses.clear()
            loss = optimizer.step(objective)
            assert objective.losses, "step() must ask the objective for a loss"
            low, high = min(objective.losses), max(objective.losses)
            margin = 1e-4 * abs(high) + 1e-6
            assert low - margin <= loss <= high + margin, (
                f"step() returned {loss}; the losses that it saw lie in [{low}, {high}]"
            )
        for weights in objective.weights:
            for name, table in weights.items():
                assert (table >= -1e-6).all(), f"the objective was asked at {name}={table}"
                assert torch.allclose(table.sum(-1), torch.ones(len(table)), atol=1e-4), (
                    f"rows of weights must sum to one; the objective was asked at {name}={table}. "
                    f"Take them from the distribution"
                )

    def test_steps_leave_the_supernet_and_its_optimizer_alone(self) -> None:
        distribution, optimizer = self.pair()
        if not optimizer.uses_supernet:
            return
        objective = RecordedObjective(SMALL)
        supernet = objective.supernet
        before = {n: p.detach().clone() for n, p in supernet.named_parameters()}
        saved = copy.deepcopy(objective.weight_optimizer.state_dict())
        supernet.eval()  # so that batch normalisation, too, has no reason to change
        state = ModuleState(supernet)
        for _ in range(3):
            optimizer.step(objective)
        moved = [n for n, p in supernet.named_parameters() if not same(p.detach(), before[n])]
        assert not moved, (
            f"step() changes the supernet's weights {moved[:3]}: update the distribution alone, "
            f"and put back what a look ahead changes"
        )
        changes = state.changes()
        assert not changes, (
            f"step() leaves a trace in the supernet: {changes[:4]}. Take gradients with "
            f"torch.autograd.grad, or clear them"
        )
        after = objective.weight_optimizer.state_dict()
        assert _equal(saved, after), "step() changes the state of the supernet's own optimizer"
        assert distribution.training, "step() switched the distribution to evaluation"

    def test_steps_are_a_function_of_its_generator(self) -> None:
        outcomes = []
        for noise in (1, 2):
            torch.manual_seed(noise)
            outcomes.append(self._after_steps(*self.pair()))
        if outcomes[0] is None or outcomes[1] is None:
            return
        assert _equal(*outcomes), (
            "steps depend on torch's global random numbers: draw from the generator that the "
            "optimizer is built with"
        )
        distribution, _ = self.pair()
        one, other = (distribution.weights(generator(seed)) for seed in (1, 2))
        if not _equal(dict(one), dict(other)):
            assert not _equal(outcomes[0], self._after_steps(*self.pair(draws=9))), (
                "the generator is ignored: optimizers with different ones take equal steps"
            )

    def test_a_step_owes_nothing_to_gradients_that_lie_around(self) -> None:
        (one, first), (other, second) = self.pair(), self.pair()
        if not first.uses_supernet:
            return
        for parameter in other.parameters():
            parameter.grad = torch.ones_like(parameter)
        first.step(RecordedObjective(SMALL))
        second.step(RecordedObjective(SMALL))
        assert _equal(one.state_dict(), other.state_dict()), (
            "a step adds to gradients that were there before: call zero_grad() first"
        )

    def test_a_restored_optimizer_takes_the_same_steps(self) -> None:
        distribution, optimizer = self.pair(0)
        if not optimizer.uses_supernet:
            assert optimizer.state_dict() == {}, "without steps there is no state"
            return
        objective = RecordedObjective(SMALL)
        for step in range(3):
            optimizer.set_progress(step / 10)
            optimizer.step(objective)
        saved = _saved({"d": distribution.state_dict(), "o": optimizer.state_dict()})
        again = _saved({"d": distribution.state_dict(), "o": optimizer.state_dict()})
        assert _equal(saved, again), "state_dict() gives another answer when asked again"
        other_distribution, other = self.pair(1)
        other_distribution.load_state_dict(saved["d"])
        other.load_state_dict(saved["o"])
        for step in range(3, 6):
            for one in (optimizer, other):
                one.set_progress(step / 10)
                one.step(objective)
        for (name, ours), theirs in zip(
            distribution.named_parameters(), other_distribution.parameters(), strict=True
        ):
            assert torch.equal(ours, theirs), (
                f"a restored optimizer goes another way in {name}: state_dict() must hold all "
                f"moments, counters, and the generator's get_state(), and load_state_dict() all "
                f"of it"
            )

    def test_a_loss_that_is_not_finite_changes_nothing(self) -> None:
        for value in (math.nan, math.inf):
            distribution, optimizer = self.pair()
            if not optimizer.uses_supernet:
                return
            optimizer.step(RecordedObjective(SMALL))
            before = _saved({"d": distribution.state_dict(), "o": optimizer.state_dict()})
            try:
                optimizer.step(RecordedObjective(SMALL, broken=0, value=value))
            except DivergenceError as error:
                assert str(error).strip(), "say in the DivergenceError what is not finite"
            else:
                raise AssertionError(
                    f"step() must raise balenas_core.errors.DivergenceError where the loss is "
                    f"{value}, before it changes anything"
                )
            after = distribution.state_dict()
            changed = [k for k, v in before["d"].items() if not same(v, after[k])]
            assert not changed, f"a step at a loss of {value} changed {changed}; check it first"

    def test_statistics_are_finite_numbers(self) -> None:
        _, optimizer = self.pair()
        assert_statistics(optimizer.statistics())
        if optimizer.uses_supernet:
            optimizer.step(RecordedObjective(SMALL))
        assert_statistics(optimizer.statistics())

    def _after_steps(
        self, distribution: ArchitectureDistribution, optimizer: ArchitectureOptimizer
    ) -> dict[str, Tensor] | None:
        if not optimizer.uses_supernet:
            return None
        objective = RecordedObjective(SMALL)
        for _ in range(3):
            optimizer.step(objective)
        return copy.deepcopy(distribution.state_dict())


def _saved(state: Mapping[str, Any]) -> Any:
    """Return what comes back of a checkpoint's state.

    Raises:
        AssertionError: It cannot be written, or not be read without running code.
    """
    file = io.BytesIO()
    try:
        torch.save(state, file)
        file.seek(0)
        return torch.load(file, weights_only=True)
    except Exception as error:
        raise AssertionError(
            f"state_dict() must hold tensors and plain data alone (numbers, texts, lists, dicts), "
            f"for a checkpoint is read with weights_only=True: {error}"
        ) from error


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and same(one.detach(), other.detach())
    if isinstance(one, Mapping):
        return (
            isinstance(other, Mapping)
            and list(one) == list(other)
            and all(_equal(one[key], other[key]) for key in one)
        )
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)
