"""Histograms of benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from balenas_cli.tables.bench_rows import AnyBenchmark, columns
from balenas_cli.tables.figure import figure_class, save
from balenas_core.interfaces.architecture import Architecture

_BINS = 80


def draw(
    benchmark: AnyBenchmark,
    architectures: Sequence[Architecture],
    dataset: str | None,
    metric: str | None,
    seed: int | None,
    output: Path,
) -> None:
    """Write a histogram for every dataset, with a line for every architecture.

    Raises:
        UsageError: matplotlib is not installed, or the file's name has another ending.
        DataError: Something was not measured.
        OutputError: The file cannot be written.
    """
    new_figure = figure_class(output, "--output")
    shown = columns(benchmark, dataset, metric or benchmark.metrics[0])
    figure = new_figure(figsize=(7, 2.6 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), squeeze=False)[:, 0]
    for axis, (name, what) in zip(axes, shown, strict=True):
        _panel(axis, benchmark, architectures, name, what, seed)
    figure.suptitle(benchmark.name, fontsize=10)
    save(figure, output, "--output")


def _panel(
    axis: Any,
    benchmark: AnyBenchmark,
    architectures: Sequence[Architecture],
    dataset: str,
    metric: str,
    seed: int | None,
) -> None:
    values = benchmark.values(dataset, metric, seed)
    axis.hist(values[~np.isnan(values)], bins=_BINS, color="0.75")
    for number, architecture in enumerate(architectures):
        entry = benchmark.query(architecture, dataset, metric, seed)
        label = f"{benchmark.index(architecture)}: rank {entry.rank:,} of {entry.total:,}"
        axis.axvline(entry.value, color=f"C{number}", linewidth=1.5, label=label)
    unit = benchmark.unit(metric)
    axis.set_xlabel(f"{metric.replace('_', ' ')} on {dataset}{f' ({unit})' if unit else ''}")
    axis.set_ylabel("architectures")
    if architectures:
        axis.legend(fontsize=8)
