"""Charts of Vega-Altair. Their colours are variables of the page, which follows the theme."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from balenas_core.report._groups import SeedBand
from balenas_core.report._numbers import count, short
from balenas_core.report._parts import Chart
from balenas_core.runs.distribution_log import DistributionHistory

Series = Sequence[tuple[float, float]]

COLORS = tuple(f"var(--color-{number})" for number in range(1, 15))
_MUTED, _INK, _LINE = "var(--muted)", "var(--ink)", "var(--rule)"
# As wide as a phone: side by side on larger screens, and never scaled down.
_WIDTH, _HEIGHT = 320, 200
_DASHES = ([1, 0], [5, 3], [2, 2], [7, 2, 2, 2])
_BINS = 60
_POINTS = 30
"""Values up to which a line shows each of them."""
_SNAPSHOTS = 24
"""Epochs that the picture of a distribution shows at most."""
_COLUMNS, _GAP = 3, 8

_CONFIG: dict[str, Any] = {
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "autosize": {"type": "fit", "contains": "padding"},
    # Fonts of the reader may be wider than those by which the image was measured.
    "padding": {"left": 8, "right": 8, "top": 4, "bottom": 2},
    "aria": False,  # the page describes a chart once, not every mark of it
    "view": {"stroke": None},
    "axis": {
        "labelColor": _MUTED,
        "titleColor": _MUTED,
        "titleFontWeight": "normal",
        "labelFontSize": 11,
        "titleFontSize": 11,
        "gridColor": _LINE,
        "domainColor": _LINE,
        "tickColor": _LINE,
        "tickSize": 4,
    },
    "axisX": {"grid": False},
    "axisY": {"domain": False, "ticks": False, "tickCount": 4},
    "legend": {
        "orient": "top",
        "title": None,
        "labelColor": _INK,
        "labelFontSize": 11,
        "labelLimit": 200,
        "symbolSize": 60,
        "offset": 6,
    },
    "header": {"labelColor": _INK, "labelFontSize": 11, "labelPadding": 3},
    "line": {"strokeWidth": 2},
}


def line_chart(title: str, lines: Mapping[str, Series], *, unit: str = "") -> Chart:
    """Return values over epochs; a line for each name.

    Args:
        title: What is shown.
        lines: Name -> epochs and values; at least one has a value.
        unit: Unit of the values.
    """
    rows = [
        {"epoch": x, "value": y, "name": name} for name, points in lines.items() for x, y in points
    ]
    has_points = max(map(len, lines.values())) <= _POINTS
    chart = _over_epochs(rows).mark_line(point={"size": 22} if has_points else False)
    color = _color("name", lines)
    shown = chart.encode(
        y=_values(unit),
        color=color,
        # Of the same field with the same legend: Vega-Lite draws one for both.
        strokeDash=alt.StrokeDash(
            "name:N", sort=list(lines), scale=_dashes(lines), legend=color["legend"]
        ),
        tooltip=_tooltips("name", "epoch", "value"),
    )
    return _chart(title, shown, f"{title}. {_told(lines, unit)}")


def band_chart(title: str, middle: Series, low: Series, high: Series) -> Chart:
    """Return a line over epochs, and the area around it between two others."""
    lowest, highest = dict(low), dict(high)
    rows = [
        {"epoch": x, "value": y, "low": lowest.get(x, y), "high": highest.get(x, y)}
        for x, y in middle
    ]
    base = _over_epochs(rows)
    area = base.mark_area(opacity=0.22, color=COLORS[0]).encode(
        y=alt.Y("low:Q", title=None, scale=alt.Scale(zero=False)), y2="high:Q"
    )
    line = base.mark_line(point={"size": 22}, color=COLORS[0]).encode(
        y=_values(), tooltip=_tooltips("epoch", "value", "low", "high")
    )
    return _chart(title, area + line, f"{title}. {_told({'mean': middle})}")


def seeds_chart(
    title: str, groups: Mapping[str, SeedBand], names: Sequence[str], *, unit: str = ""
) -> Chart:
    """Return the mean over seeds and its confidence band, for every group of runs.

    Thin lines are the runs themselves.

    Args:
        title: What is shown.
        groups: Bands of groups.
        names: Names of all groups of the page: a group has one colour everywhere.
        unit: Unit of the values.
    """
    means = [
        {"epoch": x, "value": mean, "low": low, "high": high, "name": name}
        for name, band in groups.items()
        for x, mean, low, high in band.rows
    ]
    runs = [
        {"epoch": x, "value": y, "name": name, "run": f"{name}/{run}"}
        for name, band in groups.items()
        for run, points in enumerate(band.runs)
        for x, y in points
    ]
    values = [y for band in groups.values() for points in band.runs for _, y in points]
    low, high = min(values), max(values)
    margin = 0.08 * (high - low) or 0.5 * abs(low) or 1.0
    # The band of two seeds is so wide that nothing else would be seen.
    scale = alt.Scale(domain=[low - margin, high + margin], nice=False)
    color = _color("name", names, shown=groups, symbol="square")
    base = _over_epochs(means)
    area = base.mark_area(opacity=0.18, clip=True).encode(
        y=alt.Y("low:Q", title=unit or None, scale=scale), y2="high:Q", color=color
    )
    thin = (
        _over_epochs(runs)
        .mark_line(strokeWidth=0.8, opacity=0.6)
        .encode(y=alt.Y("value:Q", scale=scale, title=unit or None), color=color, detail="run:N")
    )
    line = base.mark_line(point={"size": 22}).encode(
        y=alt.Y("value:Q", title=unit or None, scale=scale),
        color=color,
        tooltip=_tooltips("name", "epoch", "value", "low", "high"),
    )
    told = _told({name: [(x, mean) for x, mean, *_ in b.rows] for name, b in groups.items()}, unit)
    return _chart(title, area + thin + line, f"{title}, mean over seeds. {told}")


def histogram(
    title: str,
    values: NDArray[np.float64],
    marks: Sequence[tuple[str, float]],
    names: Sequence[str],
    *,
    unit: str = "",
) -> Chart:
    """Return how many architectures of a benchmark have which value, and where some stand.

    Args:
        title: What is shown.
        values: Of all architectures.
        marks: Name and value of those that are marked.
        names: As in ``seeds_chart``.
        unit: Unit of the values.
    """
    counts, edges = np.histogram(values[np.isfinite(values)], bins=_BINS)
    bars = [
        {"from": float(low), "to": float(high), "count": int(number)}
        for low, high, number in zip(edges[:-1], edges[1:], counts, strict=True)
        if number
    ]
    positions = [{"value": value, "name": name} for name, value in marks]
    bins = (
        alt.Chart(alt.InlineData(values=bars), width=_WIDTH, height=_HEIGHT)
        .mark_bar(color="var(--bar)")
        .encode(
            x=alt.X("from:Q", bin="binned", title=unit or None, scale=alt.Scale(nice=False)),
            x2="to:Q",
            y=alt.Y("count:Q", title="architectures"),
            tooltip=_tooltips("from", "to", "count"),
        )
    )
    rules = (
        alt.Chart(alt.InlineData(values=positions))
        .mark_rule(strokeWidth=2.5)
        .encode(
            x=alt.X("value:Q", title=unit or None),
            color=_color("name", names, shown=dict(marks)),
            tooltip=_tooltips("name", "value"),
        )
    )
    places = ", ".join(f"{name} at {short(value)}" for name, value in marks)
    told = f"{title}: histogram of {count(int(counts.sum()), 'architecture')}; {places}."
    return _chart(title, bins + rules, told)


def pareto_chart(cost: str, points: Iterable[tuple[float, int, bool]]) -> Chart:
    """Return cost against rank; a point is cost, rank, and whether no other beats it in both."""
    rows = [{"cost": x, "rank": rank, "is_front": front} for x, rank, front in points]
    front = [row for row in rows if row["is_front"]]
    x = alt.X("cost:Q", title=cost, scale=alt.Scale(zero=False), axis=alt.Axis(format="~s"))
    y = alt.Y("rank:Q", scale=alt.Scale(reverse=True, zero=False), axis=alt.Axis(format="d"))
    tips = _tooltips("cost", "rank")
    others = (
        alt.Chart(alt.InlineData(values=rows), width=_WIDTH, height=_HEIGHT)
        .mark_point(filled=True, size=20, color=_MUTED, opacity=0.55)
        .encode(x=x, y=y, tooltip=tips)
    )
    best = (
        alt.Chart(alt.InlineData(values=front))
        .mark_line(
            point={"size": 45, "color": COLORS[0]}, color=COLORS[0], interpolate="step-after"
        )
        .encode(x=x, y=y, tooltip=tips)
    )
    told = f"Rank against {cost}. On the front: " + ", ".join(
        f"rank {row['rank']} with {short(row['cost'])}" for row in front
    )
    return _chart(f"Rank against {cost}", others + best, f"{told}.")


def distribution_chart(history: DistributionHistory) -> Chart:
    """Return the weights of all choices over time: a small stacked picture for every slot."""
    every = -(-len(history.epochs) // _SNAPSHOTS)
    taken = sorted({*range(0, len(history.epochs), every), len(history.epochs) - 1})
    rows = [
        {"epoch": epoch + 1, "slot": slot, "choice": choice, "weight": w, "order": order}
        for epoch, table in ((history.epochs[place], history.weights[place]) for place in taken)
        for slot, row in zip(history.slots, table, strict=True)
        for order, (choice, w) in enumerate(zip(history.choices, row, strict=True))
    ]
    width = (_WIDTH - 2 * _GAP) // _COLUMNS - 2
    last = rows[-1]["epoch"]
    chart = (
        alt.Chart(alt.InlineData(values=rows), width=width, height=64)
        .mark_area()
        .encode(
            x=alt.X("epoch:Q", axis=None, scale=alt.Scale(domain=[rows[0]["epoch"], last])),
            y=alt.Y("weight:Q", axis=None, scale=alt.Scale(domain=[0, 1], nice=False)),
            order=alt.Order("order:Q"),
            color=_color("choice", history.choices, symbol="square"),
        )
        .facet(
            facet=alt.Facet("slot:N", sort=list(history.slots), title=None),
            columns=_COLUMNS,
            spacing=_GAP,
        )
    )
    told = f"{history.decision}: weight of every choice from epoch {rows[0]['epoch']} to {last}. "
    told += "; ".join(
        f"{slot}: {history.choices[best]} {row[best]:.2f}"
        for slot, row in zip(history.slots, history.weights[-1], strict=True)
        for best in [max(range(len(row)), key=row.__getitem__)]
    )
    return _chart(history.decision, chart, f"In the end {told}.", is_still=True)


def _over_epochs(rows: Sequence[Mapping[str, Any]]) -> alt.Chart:
    x = alt.X(
        "epoch:Q",
        scale=alt.Scale(nice=False, zero=False),
        axis=alt.Axis(format="d", tickMinStep=1, tickCount=6),
    )
    data = alt.InlineData(values=list(rows))
    return alt.Chart(data, width=_WIDTH, height=_HEIGHT).encode(x=x)


def _values(unit: str = "") -> alt.Y:
    return alt.Y("value:Q", title=unit or None, scale=alt.Scale(zero=False))


def _color(
    field: str,
    names: Iterable[str],
    *,
    shown: Iterable[str] | None = None,
    symbol: str = "stroke",
) -> alt.Color:
    """Return a colour for each name, and a legend of those that are shown if names are many."""
    domain = list(names)
    colors = [COLORS[number % len(COLORS)] for number in range(len(domain))]
    legend = alt.Legend(
        columns=2,
        symbolType=symbol,
        symbolOpacity=1,
        values=domain if shown is None else list(shown),
    )
    return alt.Color(
        f"{field}:N",
        scale=alt.Scale(domain=domain, range=colors),
        sort=domain,
        legend=legend if len(domain) > 1 else None,
    )


def _dashes(names: Iterable[str]) -> alt.Scale:
    domain = list(names)
    dashes = [_DASHES[number % len(_DASHES)] for number in range(len(domain))]
    return alt.Scale(domain=domain, range=dashes)


def _tooltips(*fields: str) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("name:N") if field == "name" else alt.Tooltip(f"{field}:Q", format=".5~g")
        for field in fields
    ]


def _told(lines: Mapping[str, Series], unit: str = "") -> str:
    """Say in words how lines begin and end."""
    space = f" {unit}" if unit else ""
    told = []
    for name, points in lines.items():
        if points:
            (_, first), (epoch, last) = points[0], points[-1]
            told.append(
                f"{name}: from {short(first)}{space} to {short(last)}{space}, epoch {epoch}"
            )
    return "; ".join(told) + "."


def _chart(title: str, chart: Any, description: str, *, is_still: bool = False) -> Chart:
    spec = chart.to_dict(validate=False)  # takes longer than all else; the tests do it
    spec["config"] = _CONFIG
    return Chart(title, description, spec, is_still=is_still)
