"""Numbers over seeds, and which runs go together."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, strategies as st
from scipy import stats

from balenas_core.report._groups import _T_95, grouped, mean_interval, seed_band
from balenas_core.report._record import read_records

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40)


def test_the_table_of_student_is_that_of_scipy():
    expected = stats.t.ppf(0.975, range(1, len(_T_95) + 1))
    assert list(_T_95) == pytest.approx(expected, abs=6e-4)


@given(VALUES)
def test_intervals_are_those_of_scipy(values):
    mean, half = mean_interval(values)
    error = stats.sem(values)
    quantile = stats.t.ppf(0.975, len(values) - 1)
    assert mean == pytest.approx(sum(values) / len(values), rel=1e-9, abs=1e-6)
    # From 31 degrees of freedom on the normal quantile stands for Student's.
    assert half == pytest.approx(quantile * error, rel=0.05, abs=1e-6)


@given(VALUES, st.floats(-1e3, 1e3), st.floats(0.1, 10))
def test_intervals_move_and_scale_with_the_values(values, shift, scale):
    mean, half = mean_interval(values)
    moved, scaled = mean_interval([scale * value + shift for value in values])
    assert moved == pytest.approx(scale * mean + shift, rel=1e-6, abs=1e-3)
    assert scaled == pytest.approx(scale * half, rel=1e-6, abs=1e-3)


def test_a_band_has_the_epochs_that_two_runs_have():
    band = seed_band([[(1, 1.0), (2, 3.0), (3, 9.0)], [(1, 1.0), (2, 5.0)], []])
    assert len(band.runs) == 2
    assert band.rows[0] == (1, 1.0, 1.0, 1.0)
    epoch, mean, low, high = band.rows[1]
    assert (epoch, mean, len(band.rows)) == (2, 4.0, 2)
    assert high - mean == pytest.approx(12.706 * math.sqrt(2 / 2))
    assert mean - low == pytest.approx(high - mean)


def test_one_run_is_its_own_mean_and_none_has_no_band():
    assert seed_band([[(1, 2.0)]]).rows == [(1, 2.0, 2.0, 2.0)]
    assert seed_band([[], []]) is None


def test_where_a_run_was_made_parts_no_group_and_any_other_setting_does(write_run, registry):
    training = {"epochs": 3, "lr": 0.025, "workers": 4}
    runs = [
        write_run("a"),
        write_run("b", seed=7, config={"device": "cuda", "threads": 3, "training": training}),
        write_run("c", config={"training": training | {"lr": 0.1}}),
        write_run("d", config={"precision": "float64"}),
        write_run("e", seed=8),
    ]
    groups = grouped(read_records(runs, registry))
    assert [[run.name for run in g.runs] for g in groups] == [["a", "b", "e"], ["c"], ["d"]]
    assert [group.title for group in groups] == ["group A", "group B", "group C"]


def test_runs_of_unknown_configurations_are_not_taken_for_one(write_run, registry):
    runs = [write_run("a"), write_run("b")]
    for run in runs:
        (run / "status.json").unlink()
    assert len(grouped(read_records(runs, registry))) == 2
