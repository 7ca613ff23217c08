"""``balenas correlate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from balenas_cli.shell.complete import complete
from balenas_cli.shell.options import Json

if TYPE_CHECKING:
    from balenas_core.scores import Interval


def correlate(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Tables that 'balenas score' wrote."),
    ],
    space: Annotated[
        str,
        typer.Option(
            "--space",
            "-s",
            metavar="NAME",
            help="Search space whose benchmark has the real results.",
            autocompletion=complete("space"),
        ),
    ],
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", "-d", metavar="NAME", help="Only this dataset."),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric", "-m", metavar="NAME", help="A metric or cost, instead of the first."
        ),
    ] = None,
    proxy: Annotated[
        str | None,
        typer.Option(
            "--proxy",
            "-p",
            metavar="A,A+B",
            help="Columns of the tables, and combinations of them by '+'. Default: each column.",
        ),
    ] = None,
    aggregate: Annotated[
        str,
        typer.Option(
            "--aggregate",
            metavar="WAY",
            help="How combinations add up: log_rank (AZ-NAS's) or mean_rank.",
        ),
    ] = "log_rank",
    bootstrap: Annotated[
        int,
        typer.Option(
            "--bootstrap",
            metavar="N",
            min=0,
            max=10_000_000,
            help="Resamples for the 95 % intervals; 0 for none.",
        ),
    ] = 1000,
    seed: Annotated[
        int,
        typer.Option("--seed", metavar="N", min=0, max=2**63 - 1, help="Seed of the resamples."),
    ] = 0,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Scatter plots, as .png, .svg or .pdf."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option of the space."),
    ] = None,
    json: Json = False,
) -> None:
    """Compare scores with real results: rank correlations and regrets, with intervals.

    Top 10 % is the share of the best tenth by score that is in the best tenth by result. Regret
    is by how much the best score, or the best of the ten best scores, misses the best result of
    the whole benchmark.
    """
    from dataclasses import asdict

    from balenas_cli.shell.console import print_json, stderr
    from balenas_cli.tables.bench_rows import open_benchmark
    from balenas_cli.tables.correlate_rows import compare, comparisons, join
    from balenas_core.runs.directory import finite

    built, benchmark = open_benchmark(space, set_, typed="--space")
    joined = join(files, proxy, aggregate)
    pairs = comparisons(built, benchmark, joined, dataset, metric)
    if plot is not None:
        from balenas_cli.tables.correlate_plot import draw

        draw(pairs, plot)
        stderr().print(f"wrote {plot}", soft_wrap=True)
    found = [(pair, compare(pair, resamples=bootstrap, seed=seed)) for pair in pairs]
    if json:
        print_json(
            finite(
                [
                    {
                        "dataset": pair.dataset,
                        "metric": pair.metric,
                        "proxy": pair.proxy,
                        **asdict(result),
                    }
                    for pair, result in found
                ]
            )
        )
        return
    _print(found)


def _print(found: list[tuple[Any, Any]]) -> None:
    from balenas_cli.shell.console import show, table

    first = found[0][0]
    numbers = ("Spearman", "Kendall", "top 10 %", "regret", "best of 10", "no score")
    listing = table(
        "data set",
        "proxy",
        *numbers,
        title=f"{first.metric} of {found[0][1].count:,} architectures, 95 % intervals",
        right=numbers,
    )
    for pair, result in found:
        listing.add_row(
            pair.dataset,
            pair.proxy,
            _interval(result.spearman),
            _interval(result.kendall),
            _interval(result.top_overlap),
            f"{result.regret:.2f}",
            f"{result.best_of_10_regret:.2f}",
            str(result.failed),
        )
    show(listing)


def _interval(interval: Interval) -> str:
    from math import isnan

    if isnan(interval.value):
        return "-"
    if isnan(interval.low):
        return f"{interval.value:.3f}"
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
