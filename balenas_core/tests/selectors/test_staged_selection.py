"""Selectors beyond a single ranking: supernet, train, benchmark, perturbation, stages, limits."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from balenas_core.distributions import PointDistribution
from balenas_core.errors import SelectionError, UsageError
from balenas_core.interfaces.benchmark import Benchmark
from balenas_core.interfaces.proxy import Proxy
from balenas_core.plugins.builtin import PointOptions
from balenas_core.plugins.selector_options import (
    BenchmarkOptions,
    PerturbationSelectorOptions,
    PoolOptions,
    RandomChoiceOptions,
    SupernetOptions,
    TrainOptions,
)
from balenas_core.random import generator
from balenas_core.selectors import (
    BenchmarkSelector,
    PerturbationSelector,
    RandomSelector,
    RankingSelector,
    StagedSelector,
    SupernetSelector,
    TrainSelector,
    rungs,
)
from balenas_core.testing import ToySpace, toy_context


def context(*, space=None, seed=0, **changes):
    space = space or ToySpace()
    distribution = PointDistribution(
        PointOptions(), decisions=space.decisions, generator=generator(seed)
    )
    return replace(toy_context(distribution, space=space, seed=seed), **changes)


class Convs(Proxy):
    needs_data = False

    def score(self, network, batch):
        return float(len(network.convs))


class Alike(Proxy):
    needs_data = False

    def score(self, network, batch):
        return 1.0


class Broken(Proxy):
    def score(self, network, batch):
        raise RuntimeError("needs a batch normalisation")


class Memory:
    """What a run directory does for a selection."""

    def __init__(self):
        self.known = {}
        self.computed = []

    def __call__(self, key, compute):
        if key not in self.known:
            self.known[key] = dict(compute())
            self.computed.append(key)
        return dict(self.known[key])


class ToyBenchmark(Benchmark):
    name = "toy"
    datasets = ("digits",)
    metrics = ("accuracy",)
    cost_names = ("latency", "energy")

    def __init__(self):
        space = ToySpace()
        operations = space.decisions[0].choices
        self._texts = [f"{a}-{b}" for a in operations for b in operations]

    def values(self, dataset, metric, seed=None):
        count = np.array([text.count("conv") for text in self._texts], dtype=float)
        return {"accuracy": 80 + count, "latency": 0.001 * (1 + count), "energy": count}[metric]

    def unit(self, metric):
        return {"accuracy": "%", "latency": "s", "energy": "J"}[metric]

    def index(self, architecture):
        return self._texts.index(str(architecture))


class MeasuredSpace(ToySpace):
    def benchmark(self):
        return ToyBenchmark()


def texts(candidates):
    return [str(candidate.architecture) for candidate in candidates]


def test_a_ranking_without_any_score_raises_and_names_proxy_and_cause():
    selector = RankingSelector({"broken": Broken()}, PoolOptions(draws=9))
    with pytest.raises(SelectionError, match=r"'broken' failed with RuntimeError: needs a batch"):
        selector.select(context())


def test_candidates_without_any_score_are_tried_again_when_a_search_goes_on():
    memory = Memory()
    selector = RankingSelector({"broken": Broken()}, PoolOptions(draws=9))
    for _ in range(2):
        with pytest.raises(SelectionError):
            selector.select(context(remember=memory))
    assert memory.known == {}


def test_a_proxy_that_always_fails_beside_another_changes_no_rank(caplog):
    pool = PoolOptions(draws=30)
    alone = RankingSelector({"convs": Convs()}, pool).select(context())
    both = RankingSelector({"convs": Convs(), "broken": Broken()}, pool).select(context())
    assert texts(both.candidates) == texts(alone.candidates)
    assert "'broken' failed on 5 of 5 candidates" in caplog.text


def test_ties_go_to_the_argmax_then_to_the_most_drawn_then_to_the_text():
    selection = RankingSelector({"alike": Alike()}, PoolOptions(draws=60)).select(context())
    keys = [(not c.is_argmax, -c.draws, str(c.architecture)) for c in selection.candidates]
    assert keys == sorted(keys)


def test_the_best_are_kept():
    selection = RankingSelector({"convs": Convs()}, PoolOptions(draws=30, keep=2)).select(context())
    assert selection.kept == selection.candidates[:2]
    assert len(selection.candidates) == 5


@pytest.mark.parametrize(("criterion", "best"), [("accuracy", "largest"), ("loss", "smallest")])
def test_the_supernet_ranks_by_what_inherited_weights_are_worth(criterion, best):
    where = context()
    selector = SupernetSelector(SupernetOptions(draws=40, criterion=criterion))
    selection = selector.select(where)
    measure = {"accuracy": where.evaluate, "loss": where.evaluate_loss}[criterion]
    for candidate in selection.candidates:
        network = where.space.inherit(where.supernet, candidate.architecture)
        assert candidate.scores[f"inherited_{criterion}"] == measure(network)
    scores = [candidate.scores[f"inherited_{criterion}"] for candidate in selection.candidates]
    assert scores == sorted(scores, reverse=best == "largest")


def test_an_optional_supernet_that_was_not_trained_changes_no_order():
    where = context(is_supernet_trained=False)
    stages = {
        "convs": RankingSelector({"convs": Convs()}),
        "supernet": SupernetSelector(SupernetOptions(optional=True)),
    }
    pool = PoolOptions(draws=40)
    found = StagedSelector(stages, (3,), pool).select(where)
    alone = RankingSelector({"convs": Convs()}, pool).select(context())
    assert texts(found.candidates) == texts(alone.candidates)


def test_a_supernet_without_a_loss_says_what_to_set():
    with pytest.raises(UsageError, match=r"selector\.supernet\.criterion=accuracy"):
        SupernetSelector(SupernetOptions()).select(context(evaluate_loss=None))


def test_later_stages_see_where_a_candidate_stood_before():
    seen = []

    class Watching(RandomSelector):
        def rank(self, pool, context):
            seen.append([draw.evidence for draw in pool])
            return super().rank(pool, context)

    pool = RandomChoiceOptions(draws=40)
    stages = {
        "convs": RankingSelector({"convs": Convs()}),
        "a": Watching(pool),
        "b": Watching(pool),
    }
    StagedSelector(stages, (4, 3)).select(context())
    (first, second) = seen
    assert [len(evidence) for evidence in first] == [1, 1, 1, 1]
    values = [evidence[0] for evidence in first]
    assert values == sorted(values, reverse=True)
    assert values[0] > 0
    assert [len(evidence) for evidence in second] == [2, 2, 2]


@pytest.mark.parametrize(
    "selector",
    [SupernetSelector(SupernetOptions()), PerturbationSelector(PerturbationSelectorOptions())],
)
def test_what_needs_a_trained_supernet_refuses_a_fresh_one(selector):
    with pytest.raises(UsageError, match="looks at the trained weights of a supernet"):
        selector.select(context(is_supernet_trained=False))


def test_the_oracle_takes_the_best_real_result():
    selector = BenchmarkSelector(BenchmarkOptions(draws=60))
    selection = selector.select(context(space=MeasuredSpace()))
    assert str(selection.chosen.architecture) == "conv-conv"
    assert selection.chosen.scores == {"digits accuracy": 82.0}
    cheap = BenchmarkSelector(BenchmarkOptions(draws=60, metric="energy"))
    assert cheap.select(context(space=MeasuredSpace())).chosen.scores["digits energy"] == 0.0


def test_the_oracle_says_what_it_lacks():
    with pytest.raises(UsageError, match="the search space has no benchmark"):
        BenchmarkSelector(BenchmarkOptions()).select(context())
    wrong = BenchmarkSelector(BenchmarkOptions(metric="acuracy"))
    with pytest.raises(UsageError, match=r"selector.metric: .*Did you mean 'accuracy'"):
        wrong.select(context(space=MeasuredSpace()))


def test_successive_halving_is_that_of_the_paper():
    # 16 candidates, eta 2, budget 64: four rounds of 16 epochs each.
    plan = [(rung.candidates, rung.epochs) for rung in rungs(16, 64, 2)]
    assert plan == [(16, 1), (8, 2), (4, 4), (2, 8)]


@given(st.integers(1, 40), st.integers(0, 200), st.integers(2, 5))
def test_successive_halving_keeps_its_budget(candidates, spare, halving):
    budget = candidates + spare
    plan = rungs(candidates, budget, halving)
    assert sum(rung.candidates * rung.epochs for rung in plan) <= budget
    assert plan[0].candidates == candidates
    epochs = [rung.epochs for rung in plan]
    assert epochs == sorted(epochs)
    assert min(epochs) >= 1


def test_a_budget_below_one_epoch_each_is_refused():
    with pytest.raises(UsageError, match="has 5 candidates and a budget of 4 epochs"):
        rungs(5, 4, 2)


def test_training_learns_and_ranks_by_accuracy():
    options = TrainOptions(draws=20, budget=60, lr=0.2)
    selection = TrainSelector(options).select(context())
    best = selection.chosen.scores["trained_accuracy"]
    assert best > 100 / 3
    assert all(0 <= c.scores["trained_accuracy"] <= 100 for c in selection.candidates)
    again = TrainSelector(options).select(context())
    assert [c.scores for c in again.candidates] == [c.scores for c in selection.candidates]


def test_training_goes_on_behind_the_last_training():
    options = TrainOptions(draws=20, budget=12)
    memory = Memory()
    whole = TrainSelector(options).select(context(remember=memory))
    killed = Memory()
    killed.known = dict(list(memory.known.items())[:3])
    resumed = TrainSelector(options).select(context(remember=killed))
    assert resumed == whole
    assert len(killed.computed) == len(memory.computed) - 3


def test_perturbation_keeps_what_the_supernet_needs():
    where = context()
    with torch.no_grad():
        # The labels are what the supernet says with a convolution and then a skip connection.
        wanted = where.space.parse("conv-skip")
        network = where.space.inherit(where.supernet, wanted)
        batch = replace(where.batch, labels=network(where.batch.images).argmax(-1))
        logits = where.distribution.logits["operations"]
        logits.copy_(5.0 * where.space.one_hot(wanted)["operations"])
    where = replace(where, batch=batch)
    selection = PerturbationSelector(PerturbationSelectorOptions()).select(where)
    assert str(selection.chosen.architecture) == "conv-skip"
    assert selection.chosen.is_argmax


def test_perturbation_leaves_the_supernet_alone_and_remembers():
    where, memory = context(), Memory()
    before = {name: value.clone() for name, value in where.supernet.state_dict().items()}
    selector = PerturbationSelector(PerturbationSelectorOptions(criterion="accuracy"))
    first = selector.select(replace(where, remember=memory))
    assert where.supernet.training
    torch.testing.assert_close(dict(where.supernet.state_dict()), before, rtol=0, atol=0)
    assert len(memory.known) == 4
    done = len(memory.computed)
    again = selector.select(replace(context(), remember=memory))
    assert again == first
    assert len(memory.computed) == done


def staged(*, survivors=(3, 2), keep=1):
    stages = {
        "convs": RankingSelector({"convs": Convs()}),
        "supernet": SupernetSelector(SupernetOptions()),
        "train": TrainSelector(TrainOptions(budget=4)),
    }
    return StagedSelector(stages, survivors, PoolOptions(draws=60, keep=keep))


def test_each_stage_ranks_the_survivors_of_the_one_before():
    selection = staged().select(context())
    names = [(stage.name, stage.candidates, len(stage.survivors)) for stage in selection.stages]
    assert names == [("convs", 5, 3), ("supernet", 3, 2), ("train", 2, 1)]
    for before, after in zip(selection.stages, selection.stages[1:], strict=False):
        assert set(after.survivors) <= set(before.survivors)
    assert selection.stages[-1].survivors == (selection.chosen.architecture,)
    assert [stage.epochs for stage in selection.stages] == [0, 0, 4]
    assert all(stage.seconds > 0 for stage in selection.stages)


def test_who_comes_further_ranks_better_and_has_more_scores():
    selection = staged().select(context())
    counts = [len(candidate.scores) for candidate in selection.candidates]
    assert counts == [3, 3, 2, 1, 1]
    assert "seconds" not in selection.chosen.scores


def test_a_staged_selection_goes_on_where_it_was_killed():
    memory = Memory()
    whole = staged().select(context(remember=memory))
    for cut in range(len(memory.known)):
        killed = Memory()
        killed.known = dict(list(memory.known.items())[:cut])
        resumed = staged().select(context(remember=killed))
        assert resumed.candidates == whole.candidates
        assert len(killed.computed) == len(memory.computed) - cut


def test_progress_of_stages_goes_up_to_one_total():
    calls = []
    staged().select(context(report=lambda done, total: calls.append((done, total))))
    assert calls == sorted(calls)
    assert calls[0] == (0, 10)
    assert calls[-1] == (10, 10)


def test_a_random_stage_draws_on_after_the_pool():
    stages = {
        "random": RandomSelector(RandomChoiceOptions()),
        "convs": RankingSelector({"c": Convs()}),
    }
    first = StagedSelector(stages, [2], PoolOptions(draws=60)).select(context())
    again = StagedSelector(stages, [2], PoolOptions(draws=60)).select(context())
    assert first.candidates == again.candidates


def test_limits_leave_candidates_out_before_they_are_scored():
    class Counts(Proxy):
        seen = 0

        def score(self, network, batch):
            Counts.seen += 1
            return 0.0

    # Stem 8 and classifier 15 parameters, 20 for each convolution.
    pool = PoolOptions(draws=60, max_params=43.0)
    selection = RankingSelector({"counts": Counts()}, pool).select(context())
    costs = sorted(candidate.costs["params"] for candidate in selection.candidates)
    assert costs == [23.0, 23.0, 43.0, 43.0]
    assert Counts.seen == 4


def test_flops_are_multiply_adds_of_one_image():
    pool = PoolOptions(draws=60, max_flops=1e9)
    selection = RankingSelector({"convs": Convs()}, pool).select(context())
    # 4x4 images: stem 16*4*1 + 16*4 biases; a convolution 16*4*4 + 16*4; classifier 12 + 3.
    assert selection.chosen.costs == {"flops": 128 + 2 * 320 + 15}


def test_latency_comes_from_the_benchmark_in_milliseconds():
    pool = PoolOptions(draws=60, max_latency=2.0)
    selection = RankingSelector({"convs": Convs()}, pool).select(context(space=MeasuredSpace()))
    assert max(c.costs["latency"] for c in selection.candidates) == pytest.approx(2.0)
    assert all(str(c.architecture).count("conv") <= 1 for c in selection.candidates)


def test_latency_can_be_measured_and_is_measured_once():
    memory = Memory()
    pool = PoolOptions(draws=9, max_latency=1e6, latency="measured")
    selector = RankingSelector({"convs": Convs()}, pool)
    first = selector.select(context(remember=memory))
    assert all(c.costs["latency"] > 0 for c in first.candidates)
    assert selector.select(context(remember=memory)) == first


@pytest.mark.parametrize(
    ("options", "space", "message"),
    [
        ({"max_latency": 1.0}, ToySpace(), r"has no 'latency' \(it is not installed\)"),
        ({"max_latency": 1.0, "latency": "lat"}, MeasuredSpace(), r"has latency, energy"),
        ({"max_latency": 1.0, "latency": "energy"}, MeasuredSpace(), r"is no time .*'J'"),
    ],
)
def test_a_latency_that_nobody_knows_is_refused(options, space, message):
    selector = RankingSelector({"convs": Convs()}, PoolOptions(**options))
    with pytest.raises(UsageError, match=message):
        selector.select(context(space=space))


def test_limits_that_nobody_keeps_name_the_cheapest():
    selector = RankingSelector({"convs": Convs()}, PoolOptions(draws=60, max_params=5.0))
    with pytest.raises(
        SelectionError, match=r"at most 5 params; the least among them is 23 params"
    ):
        selector.select(context())


def test_the_pareto_front_has_what_no_other_beats():
    pool = PoolOptions(draws=60, max_params=1e6)
    selection = RankingSelector({"convs": Convs()}, pool).select(context())
    front = selection.pareto["params"]
    assert front[0] == selection.chosen
    for candidate in selection.candidates:
        is_beaten = any(
            other.rank < candidate.rank and other.costs["params"] <= candidate.costs["params"]
            for other in selection.candidates
        )
        assert (candidate in front) == (not is_beaten)
    assert math.isfinite(front[-1].costs["params"])


def test_without_limits_there_is_no_front():
    assert RankingSelector({"convs": Convs()}, PoolOptions(draws=9)).select(context()).pareto == {}
