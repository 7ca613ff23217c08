"""``balenas runs``: what is in a folder of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from balenas_cli.shell.lazy import LazyCommand, LazyGroup
from balenas_cli.shell.options import Json, Run
from balenas_cli.shell.output import RUNS
from balenas_cli.shell.run_names import complete_run

app = typer.Typer(
    cls=LazyGroup, no_args_is_help=True, help="List, show, watch, compare and remove runs."
)

Folder = Annotated[
    Path,
    typer.Option("--folder", "-f", metavar="DIRECTORY", help="Where runs are looked for."),
]
Status = Annotated[
    str | None,
    typer.Option(
        "--status",
        metavar="STATUS",
        help="Only runs that are running, stalled, lost, interrupted, failed, done, damaged or "
        "unknown.",
    ),
]
Filter = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="KEY=VALUE",
        help="Only runs with this setting, such as training.lr=0.1. May be repeated.",
    ),
]


@app.command("list", cls=LazyCommand)
def list_(
    folder: Folder = RUNS,
    status: Status = None,
    filters: Filter = None,
    sort: Annotated[
        str | None,
        typer.Option(
            "--sort",
            metavar="NAME",
            help="Order by a number, such as train_loss, smallest first; by date without it.",
        ),
    ] = None,
    descending: Annotated[bool, typer.Option("--descending", help="Largest first.")] = False,
    json: Json = False,
) -> None:
    """List runs with their status and how good they are.

    Numbers to sort by: the metrics of the last epoch (train_loss, entropy, ...), seconds,
    inherited_accuracy, and <dataset>.value, .regret and .rank of a benchmark.
    """
    from balenas_cli.shell.console import print_json, print_text
    from balenas_cli.tables.run_rows import listing, matching, sorted_by

    runs = matching(folder, status=status, filters=filters or ())
    runs = sorted_by(runs, sort, descending=descending)
    if json:
        print_json([run.to_dict() for run in runs])
    else:
        print_text(listing(runs, folder, sort))


@app.command(cls=LazyCommand)
def show(run: Run, json: Json = False) -> None:
    """Show one run: status, settings, last metrics, result, checkpoints, what is damaged."""
    from balenas_cli.shell.console import print_json, print_text, show
    from balenas_cli.shell.run_names import existing
    from balenas_cli.tables.run_rows import details, next_step, plain

    info = existing(run)
    if json:
        print_json(plain(info))
        return
    show(details(info))
    print_text(f"\n{next_step(info)}")


@app.command(cls=LazyCommand)
def watch(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="[RUN|FOLDER]",
            help="A run, or a folder of runs.",
            autocompletion=complete_run,
        ),
    ] = RUNS,
    interval: Annotated[
        float, typer.Option("--interval", metavar="SECONDS", help="Between two looks.")
    ] = 2.0,
    json: Json = False,
) -> None:
    """Show how far runs are while they run, from their files alone, until they end.

    On a terminal the display is renewed; in a file or a pipe there is a line for each change, with
    --json one of JSON. A run that is 'stalled' has a process that does nothing any more, one that
    is 'lost' has none; both, once nothing works in them, go on with 'balenas resume'.
    """
    from balenas_cli.jobs.run_watch import watch
    from balenas_cli.shell.run_names import run_path
    from balenas_core.errors import UsageError

    if not 0.1 <= interval <= 3600:
        raise UsageError(f"--interval must be from 0.1 to 3600 seconds (got {interval:g}).")
    watch(run_path(run), interval=interval, json=json)


@app.command(cls=LazyCommand)
def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN RUN...", help="Two runs or more.", show_default=False),
    ],
    json: Json = False,
) -> None:
    """Show in which settings runs differ, and their last numbers side by side."""
    from balenas_cli.shell.console import print_json, show
    from balenas_cli.shell.run_names import existing
    from balenas_cli.tables.run_compare import comparison, tables
    from balenas_core.errors import UsageError

    if len(runs) < 2:
        raise UsageError(f"comparing needs two runs or more (got {runs[0]}).")
    compared = comparison([existing(run) for run in runs])
    if json:
        print_json(compared)
        return
    for shown in tables(compared):
        show(shown)


@app.command(cls=LazyCommand)
def prune(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RUN]...", help="Runs to remove.", show_default=False),
    ] = None,
    folder: Folder = RUNS,
    status: Status = None,
    filters: Filter = None,
    older_than: Annotated[
        float | None,
        typer.Option("--older-than", metavar="DAYS", help="Only runs that ended before that."),
    ] = None,
    checkpoints: Annotated[
        bool,
        typer.Option("--checkpoints", help="Remove the checkpoints only, and keep the results."),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also runs that are interrupted or failed.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove runs, or their checkpoints, after asking.

    Runs are named, or chosen by --status, --filter and --older-than. Those that did not end
    well can be resumed, and go only with --force; one that is running never goes.
    """
    import sys

    from balenas_cli.jobs.run_prune import chosen, prune, question
    from balenas_cli.shell.console import confirm, print_text
    from balenas_core.errors import UsageError

    found = chosen(
        runs or (),
        folder,
        status=status,
        filters=filters or (),
        older_than=older_than,
        force=force,
    )
    if not found:
        print_text("no run to remove")
        return
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("there is no terminal to ask on; use --yes to remove without asking.")
        confirm(question(found, checkpoints_only=checkpoints))
    for line in prune(found, checkpoints_only=checkpoints):
        print_text(line)
