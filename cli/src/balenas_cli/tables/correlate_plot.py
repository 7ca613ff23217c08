"""Scatter plots of scores against real results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from balenas_cli.tables.correlate_rows import Comparison, Floats
from balenas_cli.tables.figure import figure_class, save
from balenas_core.scores import spearman

_DECADES = 3
"""A logarithmic axis where positive scores span more."""


def draw(pairs: Sequence[Comparison], output: Path) -> None:
    """Write a panel for every proxy (column) and dataset (row).

    Failed scores are left out of the picture, not of the correlation in its title.

    Raises:
        UsageError: matplotlib is not installed, or the file's name has another ending.
        OutputError: The file cannot be written.
    """
    new_figure = figure_class(output, "--plot")
    datasets = list(dict.fromkeys(pair.dataset for pair in pairs))
    proxies = list(dict.fromkeys(pair.proxy for pair in pairs))
    figure = new_figure(figsize=(3.2 * len(proxies), 2.8 * len(datasets)), layout="constrained")
    axes = figure.subplots(len(datasets), len(proxies), squeeze=False)
    for pair in pairs:
        _panel(axes[datasets.index(pair.dataset), proxies.index(pair.proxy)], pair)
    save(figure, output, "--plot")


def _panel(axis: Any, pair: Comparison) -> None:
    shown = np.isfinite(pair.scores)
    x, y = pair.scores[shown], pair.sign * pair.values[shown]
    # A picture of thousands of points is small only as pixels, inside an SVG too.
    axis.scatter(x, y, s=5, alpha=0.4, linewidths=0, rasterized=True)
    if _spans_decades(x):
        smallest = x[x > 0].min()
        axis.set_xscale("symlog", linthresh=smallest)  # zero, a score of SynFlow, has no logarithm
    axis.set_title(f"{pair.dataset}: {spearman(pair.scores, pair.values):.3f}", fontsize=9)
    axis.set_xlabel(pair.proxy, fontsize=9)
    unit = f" ({pair.unit})" if pair.unit else ""
    axis.set_ylabel(f"{pair.metric.replace('_', ' ')}{unit}", fontsize=9)
    axis.tick_params(labelsize=8)


def _spans_decades(x: Floats) -> bool:
    positive = x[x > 0]
    if len(positive) == 0 or x.min() < 0:
        return False
    return bool(np.log10(positive.max()) - np.log10(positive.min()) > _DECADES)
