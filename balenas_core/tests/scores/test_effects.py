import itertools

import numpy as np
import pytest

from balenas_core.scores import effects, ridge

# Every combination of three choices in two slots: one-hot columns a0 a1 a2 b0 b1 b2.
FACTORIAL = np.array(
    [np.concatenate([np.eye(3)[a], np.eye(3)[b]]) for a, b in itertools.product(range(3), repeat=2)]
)


def test_effects_of_a_balanced_design_have_their_closed_form():
    # A slot's columns, centred, are 9/3 = 3 times a projection onto contrasts: a contrast of
    # means m_k is shrunk to m_k * 3 / (3 + penalty).
    means = np.array([2.0, -0.5, -1.5])
    target = FACTORIAL[:, :3] @ means
    expected = np.concatenate([means * 3 / (3 + 1.5), np.zeros(3)])
    np.testing.assert_allclose(ridge(FACTORIAL, target, 1.5), expected, atol=1e-12)


def test_a_constant_added_to_the_target_or_to_a_feature_changes_nothing():
    rng = np.random.default_rng(0)
    features, target = rng.normal(size=(20, 4)), rng.normal(size=20)
    shifted = ridge(features + np.array([1.0, 0.0, -3.0, 0.0]), target + 7, 2.0)
    np.testing.assert_allclose(shifted, ridge(features, target, 2.0), atol=1e-12)


def test_the_solution_is_stationary():
    rng = np.random.default_rng(1)
    features, target = rng.normal(size=(15, 30)), rng.normal(size=15)
    found = ridge(features, target, 0.7)
    x, y = features - features.mean(0), target - target.mean()
    np.testing.assert_allclose(x.T @ (x @ found - y) + 0.7 * found, 0, atol=1e-10)


def test_effects_are_in_standard_deviations_of_the_target():
    rng = np.random.default_rng(2)
    features = np.eye(4)[rng.integers(4, size=400)]
    target = features @ [3.0, 1.0, -1.0, -3.0]
    found, thousandfold = effects(features, target), effects(features, 1000 * target + 5)
    np.testing.assert_allclose(found.values, thousandfold.values, atol=1e-9)
    np.testing.assert_allclose(
        found.values - found.values.mean(), np.array([3, 1, -1, -3]) / target.std(), atol=0.03
    )
    assert found.explained == pytest.approx(1, abs=1e-3)


def test_noise_is_not_believed():
    rng = np.random.default_rng(3)
    features = np.eye(5)[rng.integers(5, size=(100, 20))].reshape(100, -1)
    found = effects(features, rng.normal(size=100))
    assert np.abs(found.values).max() < 0.1
    assert found.explained < 0.5


def test_a_target_that_never_changes_has_no_effects():
    found = effects(FACTORIAL, np.ones(9))
    assert not found.values.any()
    assert found.explained == 0
