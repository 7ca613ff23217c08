import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, strategies as st

from balenas_core.distributions import PointDistribution
from balenas_core.interfaces.proxy import Proxy
from balenas_core.plugins.builtin import PointOptions
from balenas_core.plugins.selector_options import PoolOptions, RandomChoiceOptions
from balenas_core.random import generator
from balenas_core.scores import mean_ranks
from balenas_core.selectors import (
    ArgmaxSelector,
    RandomSelector,
    RankingSelector,
    distinct_draws,
    neighbors_of,
)
from balenas_core.testing import ToySpace, toy_context


def _context(scale: float = 1e-3, seed: int = 0):
    distribution = PointDistribution(
        PointOptions(initial_scale=scale),
        decisions=ToySpace().decisions,
        generator=generator(seed),
    )
    return toy_context(distribution)


class _CountConvs(Proxy):
    needs_data = False

    def score(self, network, batch):
        return float(len(network.convs))


class _Fails(Proxy):
    def score(self, network, batch):
        if len(network.convs) == 1:
            raise RuntimeError("one convolution is one too many")
        return math.nan if len(network.convs) == 0 else 1.0


def test_draws_are_distinct_in_canonical_form_and_start_with_the_argmax():
    context = _context()
    pool = distinct_draws(context, 50)
    space = ToySpace()
    forms = [space.canonical(draw.architecture) for draw in pool]
    assert len(set(forms)) == len(forms) == 5
    assert [draw.is_argmax for draw in pool] == [True] + [False] * 4
    assert pool[0].architecture == context.distribution.argmax(space)
    assert sum(draw.count for draw in pool) == 50


def test_neighbors_join_once_and_were_not_drawn():
    context = _context(scale=1.0)
    space = ToySpace()
    drawn = distinct_draws(context, 1)
    assert neighbors_of(drawn, 0, context) == []
    joined = neighbors_of(drawn, 2, context)
    forms = [space.canonical(draw.architecture) for draw in [*drawn, *joined]]
    assert len(set(forms)) == len(forms) > len(drawn)
    near = {
        space.canonical(neighbor)
        for draw in drawn
        for neighbor in space.neighbors(draw.architecture)
    }
    assert set(forms[len(drawn) :]) == near - set(forms[: len(drawn)])
    assert {(draw.count, draw.is_argmax) for draw in joined} == {(0, False)}


def test_a_selector_ranks_the_neighbors_of_the_most_drawn_too():
    options = PoolOptions(draws=1, neighbors=1)
    near = RankingSelector({"convs": _CountConvs()}, options).select(_context(scale=1.0))
    alone = RankingSelector({"convs": _CountConvs()}, PoolOptions(draws=1)).select(_context(1.0))
    assert len(near.candidates) > len(alone.candidates)
    best, before = near.candidates[0].scores["convs"], alone.candidates[0].scores["convs"]
    assert best >= before


def test_argmax_takes_the_largest_mean_weights():
    context = _context()
    with torch.no_grad():
        context.distribution.logits["operations"].copy_(torch.tensor([[0, 0, 1.0], [0, 1.0, 0]]))
    (candidate,) = ArgmaxSelector().select(context).candidates
    assert str(candidate.architecture) == "conv-skip"
    assert candidate.is_argmax


def test_ranking_puts_the_best_score_first():
    selection = RankingSelector({"convs": _CountConvs()}, PoolOptions(draws=50)).select(_context())
    scores = [candidate.scores["convs"] for candidate in selection.candidates]
    assert scores == sorted(scores, reverse=True)
    assert str(selection.chosen.architecture) == "conv-conv"
    assert [candidate.rank for candidate in selection.candidates] == [1, 2, 3, 4, 5]


def test_a_proxy_that_fails_or_returns_nan_ranks_the_candidate_last(caplog):
    selection = RankingSelector({"fails": _Fails()}, PoolOptions(draws=50)).select(_context())
    scores = [candidate.scores["fails"] for candidate in selection.candidates]
    assert scores == [1.0] + [-math.inf] * 4
    assert "one convolution is one too many" in caplog.text


class _Small(ToySpace):
    """Proxies look at networks of another size."""

    def for_proxies(self):
        return _Large()


class _Large(ToySpace):
    def network(self, architecture, task):
        network = super().network(architecture, task)
        network.is_large = True
        return network


class _IsLarge(Proxy):
    def score(self, network, batch):
        return float(getattr(network, "is_large", False))


def test_ranking_looks_at_networks_of_the_size_that_is_meant_for_proxies():
    context = replace(_context(), space=_Small())
    selection = RankingSelector({"large": _IsLarge()}, PoolOptions(draws=5)).select(context)
    assert {candidate.scores["large"] for candidate in selection.candidates} == {1.0}


def test_ranking_can_look_at_how_often_a_candidate_was_drawn():
    context = _context()
    with torch.no_grad():  # conv-skip is the usual draw, conv-conv a rare one
        context.distribution.logits["operations"].copy_(torch.tensor([[0, 0, 4.0], [0, 3.0, 2.0]]))
    options = PoolOptions(draws=200)
    by_proxy = RankingSelector({"convs": _CountConvs()}, options).select(context)
    assert str(by_proxy.chosen.architecture) == "conv-conv"
    both = RankingSelector(
        {"convs": _CountConvs()}, options, aggregate="mean_rank", drawn=True
    ).select(context)
    assert [str(c.architecture) for c in both.candidates[:2]] == ["conv-skip", "conv-conv"]
    assert set(both.chosen.scores) == {"convs"}


def test_ranking_reports_its_progress():
    context = _context()
    calls = []
    object.__setattr__(context, "report", lambda done, total: calls.append((done, total)))
    RankingSelector({"convs": _CountConvs()}, PoolOptions(draws=50)).select(context)
    assert calls == [(i, 5) for i in range(6)]


@pytest.mark.parametrize("draws", [1, 8])
def test_random_choice_is_a_permutation_of_the_pool(draws):
    selection = RandomSelector(RandomChoiceOptions(draws=draws)).select(_context())
    pool = distinct_draws(_context(), draws)
    assert {c.architecture for c in selection.candidates} == {d.architecture for d in pool}


@given(st.lists(st.lists(st.floats(allow_nan=False), min_size=3, max_size=3), min_size=1))
def test_mean_ranks_sum_to_those_of_a_permutation(columns):
    assert math.isclose(sum(mean_ranks(columns)), 6.0)


@given(st.permutations(range(6)))
def test_mean_ranks_follow_a_permutation_of_the_rows(order):
    scores = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0]
    ranks = mean_ranks([scores])
    assert mean_ranks([[scores[i] for i in order]]) == [ranks[i] for i in order]
