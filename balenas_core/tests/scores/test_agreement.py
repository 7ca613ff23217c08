"""Rank statistics: scipy's, invariants, and intervals."""

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from balenas_core.scores import agreement, kendall, spearman, top_overlap

stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")

PAIRS = st.integers(2, 40).flatmap(
    lambda n: st.tuples(
        *(st.lists(st.integers(0, 12).map(float), min_size=n, max_size=n) for _ in range(2))
    )
)


def varied(pair):
    return all(len(set(values)) > 1 for values in pair)


@given(PAIRS.filter(varied))
def test_both_correlations_are_those_of_scipy(pair):
    x, y = map(np.array, pair)
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert kendall(x, y) == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)


def test_they_are_those_of_scipy_on_thousands_with_failures():
    random = np.random.default_rng(0)
    x, y = random.normal(size=5000).round(2), random.normal(size=5000)
    y += x
    x[:300] = -math.inf
    finite = np.where(np.isneginf(x), -1e9, x)
    assert spearman(x, y) == pytest.approx(stats.spearmanr(finite, y).statistic, abs=1e-12)
    assert kendall(x, y) == pytest.approx(stats.kendalltau(finite, y).statistic, abs=1e-12)


@given(PAIRS.filter(varied))
def test_correlations_depend_on_the_order_alone(pair):
    x, y = map(np.array, pair)
    for statistic in (spearman, kendall):
        assert statistic(np.exp(x), 3 * y - 7) == pytest.approx(statistic(x, y))
        assert statistic(y, x) == pytest.approx(statistic(x, y))
        assert statistic(-x, y) == pytest.approx(-statistic(x, y))


def test_equal_scores_have_no_correlation():
    same, other = np.ones(5), np.arange(5.0)
    assert math.isnan(spearman(same, other))
    assert math.isnan(kendall(same, other))


def test_the_overlap_is_of_the_best_tenth():
    values = np.arange(100.0)
    assert top_overlap(values, values) == 1.0
    assert top_overlap(-values, values) == 0.0
    scores = values.copy()
    scores[90:95] = 0  # half of the best are not seen
    assert top_overlap(scores, values) == 0.5


def test_regrets_are_measured_from_the_best_value():
    scores = np.array([3.0, 9.0, -math.inf, 5.0])
    values = np.array([90.0, 80.0, 95.0, 85.0])
    found = agreement(scores, values, best=96.0, resamples=0)
    assert (found.count, found.failed) == (4, 1)
    assert found.regret == 16.0
    assert found.best_of_10_regret == 1.0
    assert math.isnan(found.spearman.low)


def test_intervals_hold_the_value_and_shrink_with_more_architectures():
    random = np.random.default_rng(1)
    widths = []
    for count in (50, 800):
        x = random.normal(size=count)
        y = x + random.normal(size=count)
        found = agreement(x, y, best=5.0, resamples=200)
        assert found.spearman.low < found.spearman.value < found.spearman.high
        widths.append(found.spearman.high - found.spearman.low)
        assert agreement(x, y, best=5.0, resamples=200) == found
    assert widths[1] < widths[0] / 2


def test_intervals_cover_the_true_correlation_about_as_often_as_they_say():
    # Spearman's rho of a bivariate normal of correlation r is 6/pi asin(r/2).
    truth = 6 / math.pi * math.asin(0.6 / 2)
    random = np.random.default_rng(2)
    hits = 0
    for _ in range(60):
        x = random.normal(size=120)
        y = 0.6 * x + 0.8 * random.normal(size=120)
        found = agreement(x, y, best=0.0, resamples=150).spearman
        hits += found.low <= truth <= found.high
    assert 50 <= hits <= 60
