import numpy as np
import pytest

from balenas_core.errors import DataError
from balenas_core.interfaces.benchmark import Benchmark
from balenas_core.testing import ToyArchitecture

NAN = float("nan")
COLUMNS = {
    ("dots", "accuracy"): [50.0, 70.0, NAN, 70.0],
    ("dots", "seconds"): [3.0, 1.0, 2.0, NAN],
    ("lines", "seconds"): [1.0, 1.0, 1.0, 1.0],
    ("waves", "accuracy"): [1.0, 2.0, 3.0, 4.0],
}
NAMES = ("none", "skip", "conv")


class FourNetworks(Benchmark):
    name = "four networks"
    datasets = ("dots", "lines", "waves")
    metrics = ("accuracy",)
    cost_names = ("seconds",)

    def values(self, dataset, metric, seed=None):
        if COLUMNS.get((dataset, metric)) is None:
            raise DataError(f"{dataset} is damaged")
        return np.array(COLUMNS[dataset, metric])

    def index(self, architecture):
        return NAMES.index(architecture.operations[0]) + NAMES.index(architecture.operations[1])

    def measured(self, dataset):
        return tuple(metric for name, metric in COLUMNS if name == dataset)


def network(index):
    return ToyArchitecture((NAMES[index // 2], NAMES[index - index // 2]))


def test_larger_metric_and_smaller_cost_are_better():
    benchmark = FourNetworks()
    accuracy = benchmark.query(network(0), "dots")
    assert (accuracy.rank, accuracy.total, accuracy.best, accuracy.regret) == (3, 3, 70.0, 20.0)
    seconds = benchmark.query(network(2), "dots", "seconds")
    assert (seconds.rank, seconds.total, seconds.best, seconds.regret) == (2, 3, 1.0, 1.0)
    assert seconds.percentile == pytest.approx(200 / 3)


def test_columns_agree_with_single_queries():
    benchmark = FourNetworks()
    for metric, missing in (("accuracy", 2), ("seconds", 3)):
        for index in {0, 1, 2, 3} - {missing}:
            entry = benchmark.query(network(index), "dots", metric)
            assert benchmark.ranks("dots", metric)[index] == entry.rank
            assert benchmark.regrets("dots", metric)[index] == entry.regret
            assert benchmark.percentiles("dots", metric)[index] == pytest.approx(entry.percentile)
        assert benchmark.ranks("dots", metric)[missing] == 0
        assert np.isnan(benchmark.regrets("dots", metric)[missing])
        assert np.isnan(benchmark.percentiles("dots", metric)[missing])


def test_best_leaves_gaps_out_and_keeps_the_order_of_equals():
    assert FourNetworks().best("dots", "accuracy", 9).tolist() == [1, 3, 0]
    assert FourNetworks().best("dots", "seconds", 2).tolist() == [1, 2]


def test_gap_is_no_answer():
    with pytest.raises(DataError, match="no accuracy of skip-skip on dots; ask for another metric"):
        FourNetworks().query(network(2), "dots")


def test_entries_leave_out_what_was_not_measured():
    found = FourNetworks().entries(network(1))
    assert [(e.dataset, e.value) for e in found] == [("dots", 70.0), ("waves", 2.0)]
    assert [e.dataset for e in FourNetworks().entries(network(2))] == ["waves"]


def test_entries_do_not_hide_damage(monkeypatch):
    monkeypatch.setitem(COLUMNS, ("dots", "accuracy"), None)
    with pytest.raises(DataError, match="dots is damaged"):
        FourNetworks().entries(network(1))


def test_positions_of_many_are_those_of_each():
    assert FourNetworks().indices(map(network, range(4))).tolist() == [0, 1, 2, 3]
