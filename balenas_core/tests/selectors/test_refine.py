"""The selector that trains as a Bayesian model says, and the model."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from balenas_core.distributions import PointDistribution
from balenas_core.errors import UsageError
from balenas_core.plugins.builtin import PointOptions
from balenas_core.plugins.selector_options import RefineOptions
from balenas_core.random import generator
from balenas_core.selectors import RefineSelector
from balenas_core.selectors._alone import Recipe, loss_alone, one_cycle, recipe_of
from balenas_core.selectors._belief import Observation, believe, first_candidates, next_candidate
from balenas_core.testing import ToySpace, toy_context


def context(seed=0, **changes):
    space = ToySpace()
    distribution = PointDistribution(
        PointOptions(), decisions=space.decisions, generator=generator(seed)
    )
    return replace(toy_context(distribution, space=space, seed=seed), **changes)


def options(**changes):
    return RefineOptions(draws=40, epochs=1, batch_size=4, held_out=0.5, **changes)


def chain(count):
    """Return candidates of which neighbours differ in one decision."""
    places = np.arange(count, dtype=float)
    return np.abs(places[:, None] - places)


# the model


def test_the_posterior_is_the_conditional_of_one_joint_normal():
    # With equal evidence and a single grid point the formula can be written out.
    from balenas_core.selectors import _belief

    setting = _belief._Setting(scale=0.5, noise=0.3, length=2.0)
    evidence, distances = np.zeros((3, 1)), chain(3)
    observations = [Observation(0, 0, 1.0), Observation(1, 0, 0.0), Observation(0, 1, 0.8)]
    likelihood, mean, covariance = _belief._posterior(setting, evidence, distances, observations)
    prior = 0.25 * (1 + np.exp(-distances / 2))
    select = np.eye(3)[[0, 1, 0]]
    rounds = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1.0]])
    noise = 0.25 * (0.1 * rounds + 0.3 * np.eye(3))
    shown = select @ prior @ select.T + noise
    values = np.array([1.0, 0.0, 0.8])
    residual = values - values.mean()
    gain = prior @ select.T @ np.linalg.inv(shown)
    np.testing.assert_allclose(mean, values.mean() + gain @ residual, rtol=1e-7)
    np.testing.assert_allclose(covariance, prior - gain @ select @ prior, rtol=1e-6, atol=1e-9)
    expected = -0.5 * residual @ np.linalg.inv(shown) @ residual - 0.5 * np.linalg.slogdet(shown)[1]
    assert likelihood == pytest.approx(expected, rel=1e-6)


def test_probabilities_of_being_the_best_sum_to_one_and_follow_the_values():
    belief = believe(
        np.zeros((4, 1)),
        10 * (1 - np.eye(4)),
        [Observation(k, 0, value) for k, value in enumerate((0.0, 3.0, 1.0, 0.5))],
        seed=0,
    )
    assert belief.is_best.sum() == pytest.approx(1)
    assert belief.is_best.argmax() == belief.mean.argmax() == 1


def test_earlier_stages_are_believed_a_little_before_anything_says_otherwise():
    evidence = np.array([[2.0], [0.0], [1.0], [-2.0]])
    belief = believe(
        evidence,
        10 * (1 - np.eye(4)),
        [Observation(1, 0, 1.0), Observation(2, 0, 1.1)],
        seed=0,
    )
    assert belief.mean[0] > belief.mean[3]


def test_a_neighbour_of_a_good_candidate_is_expected_to_be_better_than_a_stranger():
    observations = [Observation(0, 0, 1.0), Observation(5, 0, 0.0)]
    belief = believe(np.zeros((6, 1)), chain(6), observations, seed=0)
    assert belief.mean[1] > belief.mean[4]
    assert belief.spread[1] < belief.spread[2]


def test_another_training_of_the_same_candidate_makes_it_more_certain():
    once = [Observation(0, 0, 1.0), Observation(1, 0, 0.0), Observation(2, 0, 0.4)]
    again = [*once, Observation(0, 1, 1.0)]
    before, after = (believe(np.zeros((3, 1)), chain(3), o, seed=0) for o in (once, again))
    assert after.spread[0] < before.spread[0]


def test_what_a_round_has_in_common_is_not_taken_for_a_difference():
    # Round 1 is harder by 5 for everybody.
    observations = [
        Observation(0, 0, 1.0),
        Observation(1, 0, 0.8),
        Observation(0, 1, -4.0),
        Observation(1, 1, -4.2),
    ]
    belief = believe(np.zeros((2, 1)), 10 * (1 - np.eye(2)), observations, seed=0)
    assert belief.mean[0] > belief.mean[1]


def test_equal_values_and_one_candidate_that_differs_by_nothing_are_no_error():
    belief = believe(
        np.zeros((2, 0)), np.zeros((2, 2)), [Observation(0, 0, 1.0), Observation(1, 0, 1.0)], seed=0
    )
    assert np.isfinite(belief.mean).all()
    assert belief.is_best.sum() == pytest.approx(1)


def test_the_first_to_be_trained_differ_from_one_another():
    assert first_candidates(chain(9), 3) == [0, 8, 4]
    assert first_candidates(chain(2), 6) == [0, 1]
    assert first_candidates(np.zeros((3, 3)), 6) == [0, 1, 2]


def test_the_less_certain_of_the_two_most_probable_is_trained_next():
    from balenas_core.selectors._belief import Belief

    belief = Belief(np.zeros(3), np.array([0.1, 0.5, 0.9]), np.array([0.6, 0.3, 0.1]))
    assert next_candidate(belief) == 1


def test_the_model_finds_the_best_of_noisy_trainings_more_often_than_one_each():
    hits, plain = 0, 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        bits = random.integers(0, 2, (24, 6))
        worth = bits @ random.normal(0, 1, 6) + 0.3 * random.normal(0, 1, 24)
        distances = np.abs(bits[:, None] - bits).sum(-1).astype(float)
        evidence = (worth + random.normal(0, 2, 24))[:, None]
        evidence = (evidence - evidence.mean()) / evidence.std()
        first = np.argsort(-evidence[:, 0])
        observations = [Observation(i, 0, worth[i] + random.normal(0, 1)) for i in first[:4]]
        for _ in range(20):
            belief = believe(evidence, distances, observations, seed=0)
            chosen = next_candidate(belief)
            number = sum(o.candidate == chosen for o in observations)
            observations.append(Observation(chosen, number, worth[chosen] + random.normal(0, 1)))
        hits += (
            worth.max() - worth[believe(evidence, distances, observations, seed=0).mean.argmax()]
        )
        plain += worth.max() - worth[(worth + random.normal(0, 1, 24)).argmax()]
    assert hits < plain


# the training


def test_one_cycle_rises_and_falls_without_a_jump():
    rates = [one_cycle(k / 1000) for k in range(1001)]
    assert max(rates) == pytest.approx(1.0)
    assert rates.index(max(rates)) == 300
    assert max(abs(a - b) for a, b in itertools.pairwise(rates)) < 0.01


def test_a_training_is_a_function_of_candidate_and_number():
    where = context()
    architecture = where.space.random(generator(0))
    torch.manual_seed(1)
    first = loss_alone(architecture, 0, options(), where)
    torch.manual_seed(2)
    assert loss_alone(architecture, 0, options(), where) == first
    assert loss_alone(architecture, 1, options(), where) != first


def test_a_training_that_blows_up_counts_as_twice_the_loss_of_guessing():
    where = context()
    architecture = where.space.parse("conv-conv")
    found = loss_alone(architecture, 0, options(lr=1e12), where)
    assert found == pytest.approx(2 * math.log(3))


def test_a_training_begins_with_the_weights_of_a_trained_supernet():
    where = context()
    architecture = where.space.random(generator(0))
    still = options(lr=1e-12)
    inherited = loss_alone(architecture, 0, still, where)
    with torch.no_grad():
        for parameter in where.supernet.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=generator(1)))
    before = [parameter.clone() for parameter in where.supernet.parameters()]
    assert loss_alone(architecture, 0, still, where) != inherited
    assert all(map(torch.equal, before, where.supernet.parameters()))
    fresh = loss_alone(architecture, 0, options(lr=1e-12, start="scratch"), where)
    untrained = replace(where, is_supernet_trained=False)
    assert loss_alone(architecture, 0, still, untrained) == fresh != inherited


def test_the_recipe_follows_the_start_where_the_options_are_silent():
    of = RefineOptions()
    assert recipe_of(of, is_supernet_trained=True) == Recipe(True, 2, 0.05)
    assert recipe_of(of, is_supernet_trained=False) == Recipe(False, 8, 0.2)
    given = RefineOptions(start="scratch", epochs=3, lr=0.1)
    assert recipe_of(given, is_supernet_trained=True) == Recipe(False, 3, 0.1)


def test_weights_of_a_supernet_that_was_not_trained_are_refused():
    selector = RefineSelector(options(start="supernet"))
    with pytest.raises(UsageError, match="leave it at auto"):
        selector.select(context(is_supernet_trained=False))


# the selector


def test_the_budget_is_kept_and_only_what_was_trained_is_chosen():
    found = RefineSelector(options(trainings=5, confidence=1.0)).select(context())
    trained = [c for c in found.candidates if "trained_loss" in c.scores]
    assert sum(c.scores["trainings"] for c in trained) == 5
    assert found.candidates[: len(trained)] == tuple(trained)
    losses = [c.scores["expected_loss"] for c in trained]
    assert losses == sorted(losses)
    assert sum(c.scores["probability_best"] for c in found.candidates) == pytest.approx(1)


def test_it_stops_when_one_is_clearly_the_best(monkeypatch):
    from balenas_core.selectors import _refine

    losses = {}
    monkeypatch.setattr(
        _refine, "loss_alone", lambda a, number, options, where: losses.setdefault(a, len(losses))
    )
    found = RefineSelector(options(trainings=40, confidence=0.6)).select(context())
    assert found.chosen.scores["probability_best"] >= 0.6
    assert sum(c.scores.get("trainings", 0) for c in found.candidates) < 40


def test_a_selection_that_goes_on_ends_like_one_that_was_not_stopped(monkeypatch):
    memory = {}

    def remember(key, compute):
        if key not in memory:
            memory[key] = dict(compute())
        return dict(memory[key])

    whole = RefineSelector(options(trainings=6)).select(context())

    class Killed(Exception):
        pass

    def report(done, total):
        if done == 3:
            raise Killed

    with pytest.raises(Killed):
        RefineSelector(options(trainings=6)).select(context(remember=remember, report=report))
    assert len(memory) == 3
    resumed = RefineSelector(options(trainings=6)).select(context(remember=remember))
    assert resumed.candidates == whole.candidates


def test_one_training_is_a_choice_without_a_belief():
    found = RefineSelector(options(trainings=1)).select(context())
    assert "trained_loss" in found.chosen.scores
    assert all("trained_loss" not in c.scores for c in found.candidates[1:])


def test_without_images_it_says_what_is_missing():
    with pytest.raises(UsageError, match="needs images to train on"):
        RefineSelector(options()).select(context(divide=None))
