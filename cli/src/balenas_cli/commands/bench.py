"""``balenas bench``: tables of real accuracies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from balenas_cli.shell.complete import complete
from balenas_cli.shell.lazy import LazyCommand, LazyGroup
from balenas_cli.shell.options import Json

app = typer.Typer(
    cls=LazyGroup, no_args_is_help=True, help="Look architectures up in tables of real accuracies."
)

Space = Annotated[
    str,
    typer.Argument(
        metavar="SPACE",
        help="Search space.",
        autocompletion=complete("space"),
        show_default=False,
    ),
]
Architectures = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="ARCHITECTURE...",
        help="Text forms, in quotes, or numbers in the benchmark.",
        show_default=False,
    ),
]
Dataset = Annotated[
    str | None, typer.Option("--dataset", "-d", metavar="NAME", help="Only this dataset.")
]
Metric = Annotated[
    str | None,
    typer.Option(
        "--metric", "-m", metavar="NAME", help="This metric or cost, instead of the main."
    ),
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", metavar="N", help="One training run, instead of their mean."),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="An option of the space. May be repeated."),
]


@app.command("list", cls=LazyCommand)
def list_(json: Json = False) -> None:
    """List the spaces that can have a benchmark, and what is installed of it."""
    from balenas_cli.shell.console import print_json, show, table
    from balenas_cli.tables.bench_rows import list_rows

    rows = list_rows()
    if json:
        print_json(rows)
        return
    listing = table("space", "benchmark", "architectures", "datasets", right=("architectures",))
    for row in rows:
        count = "" if row["architectures"] is None else f"{row['architectures']:,}"
        listing.add_row(
            row["space"], row["benchmark"] or row["problem"], count, ", ".join(row["datasets"])
        )
    show(listing)


@app.command(cls=LazyCommand)
def info(space: Space, set_: Set = None, json: Json = False) -> None:
    """Show what a benchmark measured, and the best value of each."""
    from balenas_cli.shell.console import print_json, print_text, show, table
    from balenas_cli.tables.bench_rows import info_rows, open_benchmark

    benchmark = open_benchmark(space, set_)[1]
    rows = info_rows(benchmark)
    if json:
        print_json({"space": space, "benchmark": benchmark.name, "columns": rows})
        return
    print_text(f"{benchmark.name}\n")
    names = ("architectures", "best", "median")
    listing = table("dataset", "metric", "unit", "seeds", *names, right=names)
    for row in rows:
        listing.add_row(
            row["dataset"],
            row["metric"],
            row["unit"],
            ", ".join(map(str, row["seeds"])),
            f"{row['architectures']:,}",
            *(f"{row[name]:.5g}" for name in names[1:]),
        )
    show(listing)


@app.command(cls=LazyCommand)
def query(
    space: Space,
    architectures: Architectures = None,
    dataset: Dataset = None,
    metric: Metric = None,
    seed: Seed = None,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Look architectures up: value, rank, percentile and regret."""
    from balenas_cli.shell.console import print_json, print_text, show, table
    from balenas_cli.tables.bench_rows import open_benchmark, parse_architectures, query_rows

    built, benchmark = open_benchmark(space, set_)
    chosen = parse_architectures(built, benchmark, architectures or [])
    rows = query_rows(benchmark, chosen, dataset, metric, seed)
    if json:
        print_json(rows)
        return
    for architecture in chosen:
        print_text(f"{benchmark.index(architecture)}  {architecture}")
    print_text("")
    right = ("number", "value", "best", "regret", "rank", "percentile")
    listing = table(
        "number", "dataset", "metric", "value", "unit", "best", "regret", "rank", "percentile",
        right=right,
    )  # fmt: skip
    for row in rows:
        listing.add_row(
            str(row["number"]),
            row["dataset"],
            row["metric"],
            _number(row["value"]),
            row["unit"],
            _number(row["best"]),
            _number(row["regret"]),
            f"{row['rank']:,} of {row['total']:,}",
            f"{row['percentile']:.2f}",
        )
    show(listing)


@app.command(cls=LazyCommand)
def best(
    space: Space,
    dataset: Dataset = None,
    metric: Metric = None,
    count: Annotated[
        int | None, typer.Option("--count", "-n", min=1, help="How many; 1 by default.")
    ] = None,
    seed: Seed = None,
    set_: Set = None,
    json: Json = False,
) -> None:
    """List the best architectures of each dataset."""
    from balenas_cli.shell.console import print_json, show, table
    from balenas_cli.tables.bench_rows import best_rows, open_benchmark

    rows = best_rows(open_benchmark(space, set_)[1], dataset, metric, count or 1, seed)
    if json:
        print_json(rows)
        return
    right = ("rank", "value", "number")
    listing = table("dataset", "metric", "rank", "value", "unit", "number", right=right)
    listing.add_column("architecture", no_wrap=True, overflow="ellipsis")
    for row in rows:
        listing.add_row(
            row["dataset"],
            row["metric"],
            str(row["rank"]),
            _number(row["value"]),
            row["unit"],
            str(row["number"]),
            row["architecture"] or "",
        )
    show(listing)


@app.command(cls=LazyCommand)
def plot(
    space: Space,
    architectures: Architectures = None,
    output: Annotated[
        Path, typer.Option("--output", metavar="FILE", help="File: .png, .svg or .pdf.")
    ] = Path("benchmark.png"),
    dataset: Dataset = None,
    metric: Metric = None,
    seed: Seed = None,
    set_: Set = None,
) -> None:
    """Draw a histogram of all architectures, with the place of some of them."""
    from balenas_cli.shell.console import print_text
    from balenas_cli.tables.bench_plot import draw
    from balenas_cli.tables.bench_rows import open_benchmark, parse_architectures

    built, benchmark = open_benchmark(space, set_)
    chosen = parse_architectures(built, benchmark, architectures or [], at_least=0)
    draw(benchmark, chosen, dataset, metric, seed, output)
    print_text(str(output))


@app.command("import", cls=LazyCommand)
def import_(
    space: Space,
    source: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Official file or folder.", show_default=False),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="FILE", help="Another file to write than that in the cache."
        ),
    ] = None,
    curves: Annotated[
        bool, typer.Option("--curves", help="Keep results after every epoch.")
    ] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Take a file with fewer architectures.")
    ] = False,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Convert an official file of results once; from then on it is what the space uses.

    Nothing that the file holds is executed.
    """
    from balenas_cli.shell.console import print_json, print_text, stderr
    from balenas_cli.tables.bench_rows import open_space
    from balenas_core.benchmarks import install_table, table_path

    name, built = open_space(space, set_)
    target = output or table_path(name)
    stderr().print(f"reading {source}", soft_wrap=True)
    table = built.import_benchmark(source, with_curves=curves, allow_missing=allow_missing)
    install_table(table, target)
    facts = {
        "space": table.space,
        "benchmark": table.source,
        "file": str(target),
        "bytes": target.stat().st_size,
        "architectures": len(table),
        "columns": len(table.columns),
        "curves": len(table.curve_names),
    }
    if json:
        print_json(facts)
        return
    print_text(
        f"{target}: {len(table):,} architectures, {len(table.columns)} columns, "
        f"{len(table.curve_names)} curves, {target.stat().st_size / 1e6:.1f} MB"
    )


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) >= 1 or value == 0 else f"{value:.4g}"
