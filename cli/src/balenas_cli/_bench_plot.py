"""Histograms of benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from balenas_cli._bench_rows import AnyBenchmark, columns
from balenas_core.architecture import Architecture
from balenas_core.errors import OutputError, UsageError

_FORMATS = (".png", ".svg", ".pdf")
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
    if output.suffix.lower() not in _FORMATS:
        raise UsageError(f"--output must end in {', '.join(_FORMATS)}; got {str(output)!r}.")
    figure_class = _require_figure()
    shown = columns(benchmark, dataset, metric or benchmark.metrics[0])
    figure = figure_class(figsize=(7, 2.6 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), squeeze=False)[:, 0]
    for axis, (name, what) in zip(axes, shown, strict=True):
        _panel(axis, benchmark, architectures, name, what, seed)
    figure.suptitle(benchmark.name, fontsize=10)
    try:
        figure.savefig(output, dpi=150)
    except OSError as error:
        raise OutputError(
            f"cannot write {output}: {error.strerror or error}. Give another file to --output."
        ) from error


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


def _require_figure() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError(
            f"plots need matplotlib, which cannot be imported ({error}). "
            f"Install it with: pip install 'balenas-cli[plot]'"
        ) from error
    return Figure
