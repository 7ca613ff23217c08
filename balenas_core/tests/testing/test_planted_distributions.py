"""Mistakes of distributions, planted one at a time: the kit finds each and says what to mend."""

from __future__ import annotations

import pytest
import torch
from planted import assert_found, faults, held_against
from torch import nn

from balenas_core.interfaces.distribution import DiscreteDistribution
from balenas_core.testing import DistributionConformance

KIT = DistributionConformance
FIELDS = {"provides": ("logits", "categorical")}


class Good(DiscreteDistribution):
    """Logits, softmax, categorical draws."""

    def __init__(self, *, decisions, generator):
        super().__init__(decisions)
        self.logits = nn.ParameterDict(
            {d.name: nn.Parameter(1e-3 * torch.randn(d.shape, generator=generator))
             for d in decisions})  # fmt: skip

    def weights(self, generator):
        return self.mean_weights()

    def mean_weights(self):
        return {name: row.softmax(-1) for name, row in self.logits.items()}

    def draw_weights(self, generator):
        return self.sample(generator)

    @torch.no_grad()
    def sample(self, generator):
        return {
            name: nn.functional.one_hot(
                torch.multinomial(row.softmax(-1), 1, generator=generator)[:, 0], row.shape[-1]
            ).to(row.dtype)
            for name, row in self.logits.items()
        }

    def log_prob(self, draw):
        return torch.stack(
            [(row.log_softmax(-1) * draw[n]).sum() for n, row in self.logits.items()]
        ).sum()

    def entropy(self):
        rows = [row.log_softmax(-1) for row in self.logits.values()]
        return -torch.stack([(row.exp() * row).sum() for row in rows]).sum()

    def statistics(self):
        return {"entropy": self.entropy().item()}


def having(**methods):
    """Return the good distribution with other methods."""
    return type("Planted", (Good,), methods)


def _mapped(method, rule):
    """Return a method whose tables go through a rule."""

    def mapped(self, *generator):
        return {name: rule(row) for name, row in getattr(Good, method)(self, *generator).items()}

    return mapped


def _global_sample(self, generator):
    return Good.sample(self, None)


def _seeded_sample(self, generator):
    return Good.sample(self, torch.Generator().manual_seed(0))


def _own_start(self, *, decisions, generator):
    Good.__init__(self, decisions=decisions, generator=None)


class HiddenState(Good):
    shift = 0.0

    def weights(self, generator):
        self.shift += 0.01
        return self.mean_weights()

    def draw_weights(self, generator):
        generator.set_state(torch.Generator().manual_seed(int(100 * self.shift)).get_state())
        return self.sample(generator)


class PlainTensor(Good):
    """Keeps a part of what it learns in a plain attribute."""

    def __init__(self, *, decisions, generator):
        super().__init__(decisions=decisions, generator=generator)
        self.extra = {d.name: torch.randn(d.shape, generator=generator) for d in decisions}

    def mean_weights(self):
        return {n: (row + self.extra[n]).softmax(-1) for n, row in self.logits.items()}


class NotParameters(Good):
    def __init__(self, *, decisions, generator):
        super().__init__(decisions=decisions, generator=generator)
        self.logits = {n: p.detach().requires_grad_() for n, p in self.logits.items()}
        del self._modules["logits"]
        vars(self)["logits"] = {d.name: torch.zeros(d.shape, requires_grad=True) for d in decisions}

    def __setattr__(self, name, value):
        if name == "logits" and isinstance(value, dict):
            return
        super().__setattr__(name, value)


class NoDecisions(Good):
    def __init__(self, *, decisions, generator):
        super().__init__(decisions=decisions, generator=generator)
        self.decisions = self.decisions[:1]


class Constant64(Good):
    def mean_weights(self):
        return {n: (row + torch.zeros(1)).float().softmax(-1) for n, row in self.logits.items()}


class OneGlobalName(Good):
    """Knows the decisions by name."""

    def mean_weights(self):
        return {"operations": self.logits["operations"].softmax(-1),
                "other": self.logits["other"].softmax(-1)}  # fmt: skip


def _first_choice(self, generator):
    return {n: torch.eye(row.shape[-1])[torch.zeros(len(row), dtype=int)] for n, row in
            self.logits.items()}  # fmt: skip


def _changes_itself(self):
    with torch.no_grad():
        for row in self.logits.values():
            row.add_(1e-3 * torch.arange(row.shape[-1]))
    return Good.entropy(self)


MISTAKES = {
    "rows do not sum to one": (
        having(mean_weights=_mapped("mean_weights", lambda w: w * 2)),
        "test_weights_are_rows_of_probabilities_of_the_decisions_shape",
        "sum to one",
    ),
    "logits instead of weights": (
        having(mean_weights=lambda self: dict(self.logits)),
        "test_weights_are_rows_of_probabilities_of_the_decisions_shape",
        "below zero|sum to one",
    ),
    "softmax over slots": (
        having(mean_weights=lambda self: {n: w.softmax(0) for n, w in self.logits.items()}),
        "test_weights_are_rows_of_probabilities_of_the_decisions_shape",
        "sum to one",
    ),
    "one slot too many": (
        having(mean_weights=_mapped("mean_weights", lambda w: torch.cat([w, w[:1]]))),
        "test_weights_are_rows_of_probabilities_of_the_decisions_shape",
        "slots x",
    ),
    "transposed": (
        having(mean_weights=_mapped("mean_weights", lambda w: w.T)),
        "test_weights_are_rows_of_probabilities_of_the_decisions_shape",
        "slots x choices",
    ),
    "a decision left out": (
        having(
            mean_weights=lambda self: (
                {"operations": self.logits["operations"].softmax(-1)}
                if "operations" in self.logits
                else {}
            )
        ),
        "test_weights_are_rows_of_probabilities_of_the_decisions_shape",
        "each decision",
    ),
    "detached weights": (
        having(weights=_mapped("weights", lambda w: w.detach())),
        "test_weights_are_differentiable_in_the_parameters",
        "do not detach",
    ),
    "detached mean": (
        having(mean_weights=_mapped("mean_weights", lambda w: w.detach())),
        "test_it_can_learn_a_choice",
        "grad",
    ),
    "draws from the global generator": (
        having(sample=_global_sample),
        "test_draws_are_a_function_of_the_generator",
        "generator alone",
    ),
    "draws ignore the generator": (
        having(sample=_seeded_sample),
        "test_draws_are_a_function_of_the_generator",
        "ignores its generator|equal",
    ),
    "draws are the mean": (
        having(draw_weights=lambda self, generator: self.mean_weights()),
        "test_draws_are_a_function_of_the_generator",
        "ignores its generator",
    ),
    "draws ignore what was learned": (
        having(
            draw_weights=lambda self, generator: {
                n: torch.rand(w.shape, generator=generator).softmax(-1)
                for n, w in self.logits.items()
            }
        ),
        "test_it_can_learn_a_choice",
        "draw from what is learned",
    ),
    "draws are always the first": (
        having(draw_weights=_first_choice),
        "test_architectures_that_it_draws_are_allowed",
        "ignores|equal|alike",
    ),
    "the mean ignores what was learned": (
        having(
            mean_weights=lambda self: {n: (0 * w).softmax(-1) for n, w in self.logits.items()},
            weights=lambda self, generator: {n: w.softmax(-1) for n, w in self.logits.items()},
        ),
        "test_weights_are_differentiable_in_the_parameters",
        "no gradient",
    ),
    "the mean prefers the least likely": (
        having(
            mean_weights=lambda self: {n: (-w).softmax(-1) for n, w in self.logits.items()},
            weights=lambda self, generator: {n: w.softmax(-1) for n, w in self.logits.items()},
        ),
        "test_it_can_learn_a_choice",
        "still prefers others",
    ),
    "starts from the global generator": (
        having(__init__=_own_start),
        "test_it_starts_from_its_generator",
        "generator alone",
    ),
    "state outside of state_dict": (
        HiddenState,
        "test_looking_at_it_changes_nothing",
        "another answer|restored|changes",
    ),
    "learned tensors in plain attributes": (
        PlainTensor,
        "test_state_dict_restores_the_distribution",
        "restored distribution differs",
    ),
    "nothing to learn": (
        NotParameters,
        "test_weights_are_differentiable_in_the_parameters",
        "nn.Parameter|nothing to learn",
    ),
    "looking changes it": (
        having(entropy=_changes_itself),
        "test_looking_at_it_changes_nothing",
        "another answer|changes",
    ),
    "the entropy grows": (
        having(entropy=lambda self: -Good.entropy(self)),
        "test_it_can_learn_a_choice",
        "must fall",
    ),
    "the entropy is a float": (
        having(entropy=lambda self: Good.entropy(self).item()),
        "test_entropy_and_statistics_are_finite_numbers",
        "must be a tensor",
    ),
    "the entropy is a row": (
        having(entropy=lambda self: Good.entropy(self)[None]),
        "test_entropy_and_statistics_are_finite_numbers",
        "must be a scalar",
    ),
    "the entropy is NaN": (
        having(entropy=lambda self: Good.entropy(self) * float("nan")),
        "test_entropy_and_statistics_are_finite_numbers",
        "is nan",
    ),
    "statistics are tensors": (
        having(statistics=lambda self: {"entropy": self.entropy()}),
        "test_entropy_and_statistics_are_finite_numbers",
        r"call .item\(\)",
    ),
    "statistics are a list": (
        having(statistics=lambda self: [1.0]),
        "test_entropy_and_statistics_are_finite_numbers",
        "mapping",
    ),
    "statistics are infinite": (
        having(statistics=lambda self: {"x": float("inf")}),
        "test_entropy_and_statistics_are_finite_numbers",
        "is inf",
    ),
    "log_prob is a probability": (
        having(log_prob=lambda self, draw: Good.log_prob(self, draw).exp()),
        "test_probabilities_are_those_of_its_draws",
        "sum to one",
    ),
    "log_prob without a gradient": (
        having(log_prob=lambda self, draw: Good.log_prob(self, draw).detach()),
        "test_probabilities_are_those_of_its_draws",
        "differentiable",
    ),
    "samples uniform": (
        having(
            sample=lambda self, g: {
                n: nn.functional.one_hot(
                    torch.randint(w.shape[-1], (len(w),), generator=g), w.shape[-1]
                ).float()
                for n, w in self.logits.items()
            }
        ),
        "test_it_can_learn_a_choice",
        "log_prob says|draw from what",
    ),
    "samples have a gradient": (
        having(
            sample=lambda self, g: {
                n: Good.sample(self, g)[n] + w.softmax(-1) * 0 for n, w in self.logits.items()
            }
        ),
        "test_probabilities_are_those_of_its_draws",
        "no gradient",
    ),
    "does not allow its own draws": (
        having(allows=lambda self, space, a: False),
        "test_architectures_that_it_draws_are_allowed",
        "refuses",
    ),
    "decisions are not handed on": (
        NoDecisions,
        "test_weights_are_rows_of_probabilities_of_the_decisions_shape",
        "super",
    ),
    "float32 constants": (Constant64, "test_double_precision_and_copies_work", "double"),
    "knows decisions by name": (
        OneGlobalName,
        "test_weights_are_rows_of_probabilities_of_the_decisions_shape",
        "no attribute",
    ),
    "draw returns too few": (
        having(
            draw=lambda self, space, count, generator: Good.draw(self, space, count - 1, generator)
        ),
        "test_architectures_that_it_draws_are_allowed",
        "returned 29",
    ),
    "the regularizer is a number": (
        having(regularizer=lambda self: 0.0),
        "test_entropy_and_statistics_are_finite_numbers",
        "must be a tensor",
    ),
    "set_progress breaks the weights": (
        having(
            set_progress=lambda self, f: (
                [w.data.fill_(float("nan")) for w in self.logits.values()] if f == 1 else None
            )
        ),
        "test_weights_are_rows_of_probabilities_of_the_decisions_shape",
        "below zero|sum to one",
    ),
}


def test_a_good_distribution_passes(tmp_path):
    assert faults(held_against(KIT, Good, **FIELDS), tmp_path) == {}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_and_explained(mistake, tmp_path):
    implementation, *expected = MISTAKES[mistake]
    assert_found(held_against(KIT, implementation, **FIELDS), *expected, tmp_path)


def test_a_discrete_distribution_says_so(tmp_path):
    kit = held_against(KIT, Good, provides=())
    assert_found(kit, "test_probabilities_are_those_of_its_draws", "categorical", tmp_path)
