"""What charts hold."""

from __future__ import annotations

import altair as alt
import numpy as np
import pytest

from balenas_core.report._charts import (
    distribution_chart,
    histogram,
    line_chart,
    pareto_chart,
    seeds_chart,
)
from balenas_core.report._groups import seed_band
from balenas_core.runs.distribution_log import DistributionHistory


def _layers(chart):
    """Return mark and rows of every layer."""
    spec = chart.spec
    data = spec.get("datasets", {})
    found = []
    for layer in spec.get("layer", [spec.get("spec", spec)]):
        source = layer.get("data", spec.get("data"))
        rows = source["values"] if "values" in source else data[source["name"]]
        mark = layer["mark"]
        found.append((mark if isinstance(mark, str) else mark["type"], rows))
    return found


@pytest.mark.parametrize("epochs", [2, 24, 25, 1000])
def test_the_picture_of_a_distribution_stays_small_and_keeps_both_ends(epochs):
    weights = tuple([[1 - e / epochs, e / epochs]] for e in range(epochs))
    history = DistributionHistory("cell", ("a",), ("skip", "conv"), tuple(range(epochs)), weights)
    ((_, rows),) = _layers(distribution_chart(history))
    shown = [row["epoch"] for row in rows if row["choice"] == "conv"]
    assert (shown[0], shown[-1]) == (1, epochs)
    assert shown == sorted(set(shown))
    assert len(shown) <= 25
    for row in rows:
        share = (row["epoch"] - 1) / epochs
        assert row["weight"] == pytest.approx(share if row["choice"] == "conv" else 1 - share)


def test_a_histogram_counts_every_measured_architecture_once():
    values = np.random.default_rng(0).normal(80, 5, 5000)
    values[:10] = np.nan
    chart = histogram("accuracy", values, [("A", 91.5)], ["A", "B"], unit="%")
    (bar, bars), (rule, rules) = _layers(chart)
    assert (bar, rule) == ("bar", "rule")
    assert sum(row["count"] for row in bars) == 4990
    assert rules == [{"value": 91.5, "name": "A"}]
    assert chart.description == "accuracy: histogram of 4,990 architectures; A at 91.5."


def test_a_group_has_the_same_colour_whatever_else_is_shown():
    band = seed_band([[(1, 1.0), (2, 2.0)]])
    names = ["group A", "group B", "group C"]
    for shown in (names, names[2:]):
        spec = seeds_chart("loss", dict.fromkeys(shown, band), names).spec
        color = spec["layer"][0]["encoding"]["color"]
        colors = dict(zip(color["scale"]["domain"], color["scale"]["range"], strict=True))
        assert colors["group C"] == "var(--color-3)"
        assert color["legend"]["values"] == shown


def test_the_scale_of_a_chart_over_seeds_is_that_of_the_runs_not_of_the_band():
    band = seed_band([[(1, 10.0)], [(1, 20.0)]])
    (_, _, low, high), *_ = band.rows
    assert high - low > 100
    chart = seeds_chart("loss", {"group A": band}, ["group A"])
    low, high = chart.spec["layer"][0]["encoding"]["y"]["scale"]["domain"]
    assert (low, high) == pytest.approx((9.2, 20.8))


def test_equal_values_have_a_scale_too():
    chart = seeds_chart("loss", {"group A": seed_band([[(1, 0.0)]])}, ["group A"])
    assert chart.spec["layer"][0]["encoding"]["y"]["scale"]["domain"] == [-1.0, 1.0]


def test_the_front_is_a_line_through_its_points():
    (_, points), (kind, front) = _layers(
        pareto_chart("params", [(5.0, 1, True), (7.0, 2, False), (3.0, 3, True)])
    )
    assert len(points) == 3
    assert (kind, [row["rank"] for row in front]) == ("line", [1, 3])


def test_a_line_chart_says_how_its_lines_begin_and_end():
    chart = line_chart("Accuracy", {"training": [(1, 20.0), (9, 97.5)]}, unit="%")
    assert chart.description == "Accuracy. training: from 20 % to 97.5 %, epoch 9."
    alt.Chart.from_dict(dict(chart.spec))
