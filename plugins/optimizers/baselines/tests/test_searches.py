import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from balenas_core.distributions import PointDistribution
from balenas_core.errors import UsageError
from balenas_core.interfaces.benchmark import Benchmark
from balenas_core.plugins.builtin import PointOptions
from balenas_core.testing import ToyObjective, ToySpace, toy_context
from balenas_optimizer_baselines._evolution import EvolutionSelector
from balenas_optimizer_baselines._options import (
    EvolutionOptions,
    RandomOptions,
    RandomSearchOptions,
)
from balenas_optimizer_baselines._random import RandomOptimizer
from balenas_optimizer_baselines._random_search import RandomSearchSelector


class ToyBenchmark(Benchmark):
    name = "toy"
    datasets = ("a", "b")
    metrics = ("accuracy",)

    def index(self, architecture):
        first, second = ToySpace().one_hot(architecture)["operations"].argmax(-1).tolist()
        return 3 * first + second

    def values(self, dataset, metric, seed=None):
        ascending = np.arange(9.0)
        return ascending if dataset == "a" else ascending[::-1]


class BenchmarkedSpace(ToySpace):
    def benchmark(self):
        return ToyBenchmark()


def _context(space=None, seed=0):
    point = PointDistribution(
        PointOptions(), decisions=ToySpace().decisions, generator=torch.Generator().manual_seed(0)
    )
    return toy_context(point, space=space or ToySpace(), seed=seed)


@pytest.mark.parametrize(
    "selector",
    [
        RandomSearchSelector(RandomSearchOptions(evaluations=60, evaluate="benchmark")),
        EvolutionSelector(EvolutionOptions(evaluations=60, evaluate="benchmark")),
    ],
)
def test_the_best_of_a_small_benchmark_is_found(selector):
    selection = selector.select(_context(BenchmarkedSpace()))
    assert str(selection.chosen.architecture) == "conv-conv"
    assert selection.chosen.scores == {"benchmark": 8.0}


def test_the_data_set_of_the_benchmark_can_be_named():
    options = RandomSearchOptions(evaluations=60, evaluate="benchmark", dataset="b")
    selection = RandomSearchSelector(options).select(_context(BenchmarkedSpace()))
    assert str(selection.chosen.architecture) == "none-none"


@pytest.mark.parametrize(
    "make",
    [
        lambda: RandomSearchSelector(RandomSearchOptions(evaluations=30)),
        lambda: EvolutionSelector(EvolutionOptions(evaluations=30)),
    ],
)
def test_inherited_weights_decide_where_there_is_no_benchmark(make):
    context = _context()
    selection = make().select(context)
    for candidate in selection.candidates:
        network = context.space.inherit(context.supernet, candidate.architecture)
        assert candidate.scores == {"supernet": context.evaluate(network)}
    scores = [c.scores["supernet"] for c in selection.candidates]
    assert scores == sorted(scores, reverse=True)
    assert sum(c.is_argmax for c in selection.candidates) <= 1


def test_an_architecture_is_evaluated_once_and_every_proposal_counts():
    calls, progress = [], []
    context = _context()
    counting = replace(
        context,
        evaluate=lambda network: float(calls.append(network) or len(calls)),
        report=lambda done, total: progress.append((done, total)),
    )
    RandomSearchSelector(RandomSearchOptions(evaluations=40)).select(counting)
    assert len(calls) <= 9
    assert progress == sorted(progress)
    assert progress[-1] == (40, 40)


def test_evolution_proposes_neighbours_of_the_living_and_forgets_the_old():
    # With a population of one every child is a mutation of the one before it.
    proposals = []

    class Recording(ToySpace):
        def mutate(self, architecture, generator):
            child = super().mutate(architecture, generator)
            proposals.append((architecture, child))
            return child

    options = EvolutionOptions(evaluations=20, population=1, tournament=1)
    EvolutionSelector(options).select(_context(Recording()))
    assert len(proposals) == 19
    for (_, child), (parent, _) in itertools.pairwise(proposals):
        assert parent == child


def test_evolution_takes_the_best_of_a_tournament_of_the_whole_population():
    parents = []

    class Recording(BenchmarkedSpace):
        def mutate(self, architecture, generator):
            parents.append(ToyBenchmark().index(architecture))
            return architecture  # the population never changes

    options = EvolutionOptions(evaluations=30, population=10, tournament=10, evaluate="benchmark")
    EvolutionSelector(options).select(_context(Recording()))
    # While anyone is alive who was best in the first population, it is the parent.
    assert len(set(parents)) == 1


@pytest.mark.parametrize(
    "selector",
    [
        RandomSearchSelector(RandomSearchOptions(evaluations=30, evaluate="benchmark")),
        EvolutionSelector(EvolutionOptions(evaluations=30, evaluate="benchmark")),
    ],
)
def test_limits_of_the_search_are_kept(selector):
    class NoConvolution(PointDistribution):
        def allows(self, space, architecture):
            return "conv" not in architecture.operations

    distribution = NoConvolution(
        PointOptions(), decisions=ToySpace().decisions, generator=torch.Generator().manual_seed(0)
    )
    context = replace(_context(BenchmarkedSpace()), distribution=distribution)
    selection = selector.select(context)
    assert str(selection.chosen.architecture) == "skip-skip"
    assert not any("conv" in str(c.architecture) for c in selection.candidates)


def test_limits_that_nothing_keeps_are_refused():
    class Nothing(PointDistribution):
        def allows(self, space, architecture):
            return False

    distribution = Nothing(
        PointOptions(), decisions=ToySpace().decisions, generator=torch.Generator().manual_seed(0)
    )
    context = replace(_context(), distribution=distribution)
    with pytest.raises(UsageError, match="none of 10000 proposed architectures"):
        RandomSearchSelector(RandomSearchOptions()).select(context)


def test_a_space_without_a_benchmark_is_refused():
    selector = RandomSearchSelector(RandomSearchOptions(evaluate="benchmark"))
    with pytest.raises(UsageError, match="this search space has none installed"):
        selector.select(_context())


def test_a_tournament_larger_than_the_population_is_refused():
    with pytest.raises(ValidationError, match=r"tournament \(3\) must be at most population \(2\)"):
        EvolutionOptions(population=2, tournament=3)


def test_random_search_steps_leave_the_distribution_alone_and_return_a_loss():
    context = _context()
    optimizer = RandomOptimizer(
        RandomOptions(train_supernet=True),
        distribution=context.distribution,
        dataset_size=10,
        generator=torch.Generator().manual_seed(0),
    )
    before = {k: v.clone() for k, v in context.distribution.state_dict().items()}
    assert optimizer.uses_supernet
    assert math.isfinite(optimizer.step(ToyObjective(ToySpace().decisions)))
    for name, value in context.distribution.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
