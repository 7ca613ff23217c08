"""Many architectures scored, in this process and in others."""

import math
import pickle
import sys
from concurrent.futures import Future

import cloudpickle
import pytest
import torch

from balenas_core.interfaces.executor import Executor, Workers
from balenas_core.interfaces.proxy import Proxy
from balenas_core.interfaces.space import Task
from balenas_core.plugins.options import ExecutorOptions
from balenas_core.scores import ScoringJob, score_all
from balenas_core.scores.formula import fill_by_formula, formula_batch
from balenas_core.testing import ToySpace

cloudpickle.register_pickle_by_value(sys.modules[__name__])


class LogitSum(Proxy):
    calls = 0

    def score(self, network, batch):
        LogitSum.calls += 1
        with torch.no_grad():
            return network(batch.images.to(next(network.parameters()))).sum().item()


class FailsOnSkips(Proxy):
    def score(self, network, batch):
        if "skip" in network.operations:
            raise ValueError("a skip")
        return 1.0


def job(**changes):
    values = {
        "space": ToySpace(),
        "task": Task((2, 4, 4), 3),
        "proxies": {"sum": LogitSum()},
        "batch": formula_batch(4, (2, 4, 4), 3),
    }
    return ScoringJob(**{**values, **changes})


def architectures():
    return list(ToySpace().architectures())


def test_scores_do_not_depend_on_what_else_is_scored_or_on_the_global_generator():
    torch.manual_seed(1)
    together = {row.architecture: row.scores for row in score_all(job(), architectures())}
    torch.manual_seed(2)
    for architecture in architectures()[::3]:
        (row,) = score_all(job(), [architecture])
        assert row.scores == together[str(architecture)]
    assert together["conv-conv"] != together["skip-skip"]


class InParts(Executor):
    """Has three workers on paper, and does everything here: items are parts of four."""

    def open(self, work):
        class Here(Workers):
            count = 3

            def submit(self, item):
                future = Future()
                future.set_result(pickle.loads(pickle.dumps(work))(item))
                return future

            def close(self):
                pass

        return Here()


def in_parts(**options):
    return InParts(ExecutorOptions(**options))


@pytest.mark.parametrize("dedupe", [False, True])
@pytest.mark.parametrize("init", ["default", "supernet"])
def test_workers_give_the_same_in_the_same_order(init, dedupe):
    alone = list(score_all(job(init=init), architectures(), dedupe=dedupe))
    shared = score_all(job(init=init), architectures(), executor=in_parts(), dedupe=dedupe)
    assert list(shared) == alone


def test_what_computes_the_same_is_scored_once_in_its_canonical_form():
    LogitSum.calls = 0
    rows = list(score_all(job(), architectures(), dedupe=True))
    assert len(rows) == 9
    assert LogitSum.calls == 5
    dead = [row for row in rows if "none" in row.architecture]
    assert {row.scored_as for row in dead} == {"none-none"}
    assert len({row.scores["sum"] for row in dead}) == 1


def test_known_scores_are_not_computed_again():
    LogitSum.calls = 0
    known = {"none-none": {"sum": 7.0}}
    rows = list(score_all(job(), architectures(), dedupe=True, known=known))
    assert rows[0].scores == {"sum": 7.0}
    assert LogitSum.calls == 4
    assert len(known) == 5


def test_the_seed_changes_the_weights_and_the_formula_has_none():
    first, second = (next(score_all(job(seed=s), architectures()[4:])) for s in (0, 1))
    assert first.scores != second.scores
    first, second = (
        next(score_all(job(seed=s, init="formula"), architectures()[4:])) for s in (0, 1)
    )
    assert first.scores == second.scores


def test_the_formula_takes_the_labels_of_the_space():
    class Labelled(ToySpace):
        def formula_labels(self, network):
            return {name: 7 for name, _ in network.named_parameters()}

    scorer = job(space=Labelled(), init="formula", dtype=torch.float64)
    (row,) = score_all(scorer, [ToySpace().parse("conv-conv")])
    network = ToySpace().network(ToySpace().parse("conv-conv"), scorer.task).double()
    fill_by_formula(network, {name: 7 for name, _ in network.named_parameters()})
    assert row.scores["sum"] == LogitSum().score(network, scorer.batch)


def test_a_failure_is_the_lowest_score_with_its_cause():
    rows = list(score_all(job(proxies={"fails": FailsOnSkips()}), architectures()))
    for row in rows:
        is_failed = "skip" in row.architecture
        assert row.scores["fails"] == (-math.inf if is_failed else 1.0)
        assert row.errors == ({"fails": "ValueError: a skip"} if is_failed else {})


class BreaksOn(ToySpace):
    """Cannot build one of its networks."""

    def __init__(self, text):
        super().__init__()
        self.text = text

    def network(self, architecture, task):
        if str(architecture) == self.text:
            raise RuntimeError("no such layer")
        return super().network(architecture, task)


@pytest.mark.parametrize("executor", [None, in_parts()])
def test_one_that_cannot_be_scored_fails_alone(executor):
    whole = {row.architecture: row for row in score_all(job(), architectures())}
    space = BreaksOn("conv-skip")
    rows = list(score_all(job(space=space), architectures(), executor=executor))
    for row in rows:
        if row.architecture == "conv-skip":
            assert row.scores == {"sum": -math.inf}
            assert row.errors == {"sum": "RuntimeError: no such layer"}
        else:
            assert row == whole[row.architecture]
