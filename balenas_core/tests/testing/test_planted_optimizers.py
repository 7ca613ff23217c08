"""Mistakes of optimizers, planted one at a time: the kit finds each and says what to mend."""

from __future__ import annotations

import math

import pytest
import torch
from planted import assert_found, faults, held_against

from balenas_core.errors import DivergenceError
from balenas_core.interfaces.optimizer import ArchitectureOptimizer
from balenas_core.testing import OptimizerConformance

KIT = OptimizerConformance
FIELDS = {"defaults": {"distribution": "gumbel_softmax"}, "steps": 60}


class Good(ArchitectureOptimizer):
    """Adam on a reparameterised draw."""

    def __init__(self, *, distribution, dataset_size, generator):
        self.distribution, self.generator = distribution, generator
        self.adam = torch.optim.Adam(distribution.parameters(), lr=0.05)

    def step(self, objective):
        self.adam.zero_grad()
        loss = self.loss(objective)
        if not math.isfinite(loss.item()):
            raise DivergenceError(f"the loss is {loss.item()}")
        loss.backward()
        self.adam.step()
        return loss.item()

    def loss(self, objective):
        return objective(self.distribution.weights(self.generator))

    def state_dict(self):
        return {"adam": self.adam.state_dict(), "generator": self.generator.get_state()}

    def load_state_dict(self, state):
        self.adam.load_state_dict(state["adam"])
        self.generator.set_state(state["generator"])


def having(**methods):
    """Return the good optimizer with other methods."""
    return type("Planted", (Good,), methods)


def before(body):
    """Return the good optimizer that does something before its step."""

    def step(self, objective):
        body(self, objective)
        return Good.step(self, objective)

    return having(step=step)


def after(body):
    """Return the good optimizer that does something after its step."""

    def step(self, objective):
        value = Good.step(self, objective)
        changed = body(self, objective)
        return value if changed is None else changed

    return having(step=step)


def _no_check(self, objective):
    self.adam.zero_grad()
    loss = self.loss(objective)
    loss.backward()
    self.adam.step()
    return loss.item()


def _late_check(self, objective):
    value = _no_check(self, objective)
    if not math.isfinite(value):
        raise DivergenceError("the loss is not finite")
    return value


def _accumulates(self, objective):
    loss = self.loss(objective)
    if not math.isfinite(loss.item()):
        raise DivergenceError("the loss is not finite")
    loss.backward()
    self.adam.step()
    return loss.item()


def _ascends(self, objective):
    self.adam.zero_grad()
    loss = self.loss(objective)
    if not math.isfinite(loss.item()):
        raise DivergenceError("the loss is not finite")
    (-loss).backward()
    self.adam.step()
    return loss.item()


def _differentiable_in_weights(self, objective):
    return objective.validation_loss(self.distribution.weights(self.generator))


def _only_first(self, *, distribution, dataset_size, generator):
    Good.__init__(self, distribution=distribution, dataset_size=dataset_size, generator=generator)
    self.adam = torch.optim.Adam(list(distribution.parameters())[:1], lr=0.05)


def _global_noise(self, objective):
    noise = torch.Generator().manual_seed(int(torch.randint(1000, ())))
    return objective(self.distribution.weights(noise))


def _fixed_noise(self, objective):
    return objective(self.distribution.weights(torch.Generator().manual_seed(0)))


def _plain_bad_value(self, objective):
    value = Good.loss(self, objective)
    if not math.isfinite(value.item()):
        raise ValueError("not finite")
    return value


class Counts(Good):
    """The step size falls with a counter that is not saved."""

    count = 0

    def step(self, objective):
        self.count += 1
        self.adam.param_groups[0]["lr"] = 0.05 / self.count
        return super().step(objective)


class KeepsMomentum(Good):
    def state_dict(self):
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state):
        self.generator.set_state(state["generator"])


class KeepsNoGenerator(Good):
    def state_dict(self):
        return {"adam": self.adam.state_dict()}

    def load_state_dict(self, state):
        self.adam.load_state_dict(state["adam"])


class RestoresNothing(Good):
    def load_state_dict(self, state):
        pass


class SavesItself(Good):
    def state_dict(self):
        return {**super().state_dict(), "object": Good.step}


class Unscaled(Good):
    def loss(self, objective):
        return objective({n: 2 * w for n, w in self.distribution.weights(self.generator).items()})


class ByName(Good):
    def loss(self, objective):
        weights = self.distribution.weights(self.generator)
        weights["operations"].sum()
        return objective(weights)


def _train_supernet(self, objective):
    with torch.no_grad():
        for parameter in objective.supernet.parameters():
            parameter.mul_(0.99)


def _step_weights(self, objective):
    objective.validation_loss(self.distribution.mean_weights()).backward()
    objective.weight_optimizer.step()


MISTAKES = {
    "changes supernet weights": (
        before(_train_supernet),
        "test_steps_leave_the_supernet_and_its_optimizer_alone",
        "supernet's weights",
    ),
    "trains the supernet": (
        before(_step_weights),
        "test_steps_leave_the_supernet_and_its_optimizer_alone",
        "supernet's weights",
    ),
    "leaves gradients in the supernet": (
        having(loss=_differentiable_in_weights),
        "test_steps_leave_the_supernet_and_its_optimizer_alone",
        "gradient of|trace",
    ),
    "switches the supernet's mode": (
        before(lambda s, o: o.supernet.train()),
        "test_steps_leave_the_supernet_and_its_optimizer_alone",
        "training|trace",
    ),
    "freezes the supernet": (
        before(lambda s, o: o.supernet.requires_grad_(False)),
        "test_steps_leave_the_supernet_and_its_optimizer_alone",
        "requires_grad|trace",
    ),
    "leaves a hook on the supernet": (
        before(lambda s, o: o.supernet.register_forward_hook(lambda *_: None)),
        "test_steps_leave_the_supernet_and_its_optimizer_alone",
        "hooks",
    ),
    "changes the weight optimizer": (
        before(lambda s, o: o.weight_optimizer.param_groups[0].update(lr=0.5)),
        "test_steps_leave_the_supernet_and_its_optimizer_alone",
        "own optimizer",
    ),
    "clears its momentum": (
        before(lambda s, o: o.weight_optimizer.state.clear()),
        "test_steps_leave_the_supernet_and_its_optimizer_alone",
        "own optimizer",
    ),
    "climbs": (having(step=_ascends), "test_steps_lower_the_loss_at_the_mean", "must fall"),
    "does nothing": (
        having(step=lambda self, o: self.loss(o).item()),
        "test_steps_lower_the_loss_at_the_mean",
        "must fall|never move",
    ),
    "never asks for a loss": (
        having(step=lambda self, o: 0.0),
        "test_a_step_returns_the_loss_that_it_saw",
        "must fall|ask the objective",
    ),
    "only the first decision": (
        having(__init__=_only_first),
        "test_steps_lower_the_loss_at_the_mean",
        "never move",
    ),
    "returns a tensor": (
        after(lambda s, o: torch.tensor(0.5)),
        "test_steps_lower_the_loss_at_the_mean",
        "return a float",
    ),
    "returns nothing": (
        having(step=lambda self, o: Good.step(self, o) and None),
        "test_steps_lower_the_loss_at_the_mean",
        "return a float",
    ),
    "returns another loss": (
        after(lambda s, o: 0.0),
        "test_a_step_returns_the_loss_that_it_saw",
        "the losses that it saw",
    ),
    "returns the negative": (
        having(step=lambda self, o: -Good.step(self, o)),
        "test_a_step_returns_the_loss_that_it_saw",
        "that it saw",
    ),
    "gradients add up": (
        having(step=_accumulates),
        "test_a_step_owes_nothing_to_gradients_that_lie_around",
        "zero_grad",
    ),
    "global random numbers": (
        having(loss=_global_noise),
        "test_steps_are_a_function_of_its_generator",
        "generator that the optimizer",
    ),
    "ignores its generator": (
        having(loss=_fixed_noise),
        "test_steps_are_a_function_of_its_generator",
        "generator is ignored",
    ),
    "a counter outside of the state": (
        Counts,
        "test_a_restored_optimizer_takes_the_same_steps",
        "goes another way",
    ),
    "moments outside of the state": (
        KeepsMomentum,
        "test_a_restored_optimizer_takes_the_same_steps",
        "goes another way|KeyError",
    ),
    "the generator outside of the state": (
        KeepsNoGenerator,
        "test_a_restored_optimizer_takes_the_same_steps",
        "goes another way",
    ),
    "restores nothing": (
        RestoresNothing,
        "test_a_restored_optimizer_takes_the_same_steps",
        "goes another way",
    ),
    "state that cannot be read safely": (
        SavesItself,
        "test_a_loss_that_is_not_finite_changes_nothing",
        "plain data",
    ),
    "no check of the loss": (
        having(step=_no_check),
        "test_a_loss_that_is_not_finite_changes_nothing",
        "DivergenceError|returned nan",
    ),
    "checks after the step": (
        having(step=_late_check),
        "test_a_loss_that_is_not_finite_changes_nothing",
        "changed",
    ),
    "another error": (
        having(loss=_plain_bad_value),
        "test_a_loss_that_is_not_finite_changes_nothing",
        "ValueError",
    ),
    "weights off the simplex": (Unscaled, "test_a_step_returns_the_loss_that_it_saw", "sum to one"),
    "knows decisions by name": (ByName, "test_steps_lower_the_loss_at_the_mean", "KeyError"),
    "statistics are tensors": (
        having(statistics=lambda self: {"x": torch.tensor(1.0)}),
        "test_statistics_are_finite_numbers",
        r"call .item\(\)",
    ),
    "statistics are NaN": (
        having(statistics=lambda self: {"x": math.nan}),
        "test_statistics_are_finite_numbers",
        "is nan",
    ),
    "changes the learning rate of all of torch": (
        before(lambda s, o: torch.set_default_dtype(torch.float64)),
        "test_statistics_are_finite_numbers",
        "dtype",
    ),
    "eval on the distribution": (
        before(lambda s, o: s.distribution.eval()),
        "test_steps_leave_the_supernet_and_its_optimizer_alone",
        "evaluation",
    ),
    "no base class": (
        type("NoBase", (), {"__init__": lambda self, **k: None}),
        "test_a_loss_that_is_not_finite_changes_nothing",
        "is no ArchitectureOptimizer",
    ),
}


def test_a_good_optimizer_passes(tmp_path):
    assert faults(held_against(KIT, Good, **FIELDS), tmp_path) == {}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_and_explained(mistake, tmp_path):
    implementation, *expected = MISTAKES[mistake]
    assert_found(held_against(KIT, implementation, **FIELDS), *expected, tmp_path)


def test_a_default_distribution_is_asked_for(tmp_path):
    kit = held_against(KIT, Good)
    assert_found(kit, "test_statistics_are_finite_numbers", "declare defaults", tmp_path)
