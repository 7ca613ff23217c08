"""Several proxies' scores combined into one order."""

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from balenas_core.scores import (
    combined,
    descending_ranks,
    log_rank_sums,
    mean_ranks,
    weighted_ranks,
)

stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")

SCORES = st.lists(
    st.floats(allow_nan=False) | st.sampled_from([0.0, 1.0, -math.inf]), min_size=1, max_size=30
)


@given(SCORES)
def test_ranks_are_those_of_scipy(values):
    expected = stats.rankdata(-np.array(values), method="average")
    assert descending_ranks(values).tolist() == expected.tolist()


def test_the_log_rank_sum_is_that_of_the_paper():
    # n = 4 candidates; ranks 4, 3, 2, 1 under the first proxy and 1, 2, 3, 4 under the second.
    sums = log_rank_sums([[4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0]])
    expected = [math.log(1 / 4), math.log(3 / 4 * 2 / 4), math.log(2 / 4 * 3 / 4), math.log(1 / 4)]
    np.testing.assert_allclose(sums, expected, rtol=1e-12)


def test_the_log_rank_sum_prefers_two_good_ranks_to_a_best_and_a_worst():
    columns = {"a": [4.0, 3.0, 2.0, 1.0], "b": [1.0, 2.0, 3.0, 4.0]}
    by_log = combined(columns, "log_rank")
    by_mean = combined(columns, "mean_rank")
    assert by_log[1] > by_log[0]
    assert len(set(by_mean)) == 1


@given(st.lists(SCORES.filter(lambda s: len(s) >= 2).map(lambda s: s[:2]), min_size=1, max_size=4))
def test_equal_weights_are_the_mean(columns):
    assert mean_ranks(columns) == weighted_ranks(columns, [3.0] * len(columns))


def test_a_weight_of_zero_leaves_a_proxy_out():
    columns = {"a": [1.0, 2.0, 3.0], "b": [9.0, 1.0, 5.0]}
    alone = combined({"a": columns["a"]}, "mean_rank")
    assert combined(columns, "weighted", {"b": 0.0}) == alone
    assert combined(columns, "weighted", {"a": 1.0, "b": 1.0}) == combined(columns, "mean_rank")


@given(SCORES, st.sampled_from(["mean_rank", "log_rank", "weighted"]))
def test_one_proxy_orders_as_its_scores_do(scores, aggregate):
    values = combined({"a": scores}, aggregate)
    for i, score in enumerate(scores):
        for k, other in enumerate(scores):
            assert (score > other) == (values[i] > values[k])
