"""Where a choice stands among all architectures of its space."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from balenas_core.report._charts import histogram
from balenas_core.report._numbers import short
from balenas_core.report._parts import Cell, Chart, Charts, Column, Note, Part, Table
from balenas_core.report._record import Record, RunRecord, attempt


def benchmark_parts(run: RunRecord) -> Sequence[Part]:
    """Return rank and regret on every dataset, and the position in the histogram."""
    entries = run.result.get("benchmark") or ()
    if not entries:
        return ()
    problems: list[str] = []
    charts = histograms(run, [("chosen", run)], ["chosen"], problems)
    if not charts and not problems:
        problems = ["the benchmark is not installed here: there are no histograms."]
    notes: list[Part] = [Note(problem) for problem in problems]
    return [_table(entries), *([Charts(charts)] if charts else ()), *notes]


def histograms(
    of: RunRecord,
    marked: Sequence[tuple[str, RunRecord]],
    names: Sequence[str],
    problems: list[str],
) -> list[Chart]:
    """Return a histogram for every dataset on which a run's choice was looked up.

    Args:
        of: The run; its space's benchmark is the one that is shown.
        marked: Names and runs whose choices are marked.
        names: All names that are marked somewhere in the page.
        problems: What could not be shown is added here.
    """
    charts = []
    for entry in of.result.get("benchmark") or ():
        dataset, metric = entry["dataset"], str(entry.get("metric"))
        values = attempt(partial(_values, of, entry), problems, "no histogram")
        if values is not None:
            marks = [(name, _value(run, dataset, metric)) for name, run in marked]
            known = [(name, value) for name, value in marks if value is not None]
            title = f"{metric.replace('_', ' ').capitalize()} on {dataset}"
            charts.append(histogram(title, values[0], known, names, unit=values[1]))
    return charts


def _values(run: RunRecord, entry: Record) -> tuple[NDArray[np.float64], str] | None:
    benchmark = run.space().benchmark()
    if benchmark is None:
        return None
    metric = str(entry.get("metric"))
    return benchmark.values(entry["dataset"], metric), benchmark.unit(metric)


def _value(run: RunRecord, dataset: str, metric: str) -> float | None:
    for entry in run.result.get("benchmark") or ():
        if (entry["dataset"], entry.get("metric")) == (dataset, metric):
            return float(entry["value"])
    return None


def _table(entries: Sequence[Record]) -> Table:
    columns = [
        Column("dataset"),
        Column("metric"),
        *(Column(name, True) for name in ("value", "best", "regret", "rank", "of")),
    ]
    rows = [
        [
            Cell(entry["dataset"]),
            Cell(str(entry.get("metric", "")).replace("_", " ")),
            *(
                Cell(short(entry.get(name)), entry.get(name))
                for name in ("value", "best", "regret")
            ),
            Cell(f"{entry['rank']:,}", entry["rank"]),
            Cell(short(entry.get("total")), entry.get("total")),
        ]
        for entry in entries
    ]
    return Table("The choice in the benchmark of its space", columns, rows)
