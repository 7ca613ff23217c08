"""The ``balenas`` command. Everything heavy is imported inside the commands."""

from __future__ import annotations

from typing import Annotated

import typer

from balenas_cli.commands import (
    bench,
    config,
    correlate,
    describe,
    doctor,
    estimate,
    export,
    plugin_author,
    plugins,
    report,
    resume,
    runs,
    score,
    search,
    select,
    sweep,
    train,
)
from balenas_cli.shell.border import run_guarded
from balenas_cli.shell.lazy import LazyCommand, LazyGroup

app = typer.Typer(
    name="balenas",
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.command(cls=LazyCommand, rich_help_panel="Search")(search.search)
app.command(cls=LazyCommand, rich_help_panel="Search")(resume.resume)
app.command(cls=LazyCommand, rich_help_panel="Search")(estimate.estimate)
app.command(cls=LazyCommand, rich_help_panel="Search")(select.select)
app.command(cls=LazyCommand, rich_help_panel="Search")(sweep.sweep)
app.add_typer(runs.app, name="runs", rich_help_panel="Search")
app.add_typer(config.app, name="config", rich_help_panel="Search")
app.command(cls=LazyCommand, rich_help_panel="Use what was found")(train.train)
app.command(cls=LazyCommand, rich_help_panel="Use what was found")(export.export)
app.command(cls=LazyCommand, rich_help_panel="Use what was found")(report.report)
app.command(cls=LazyCommand, rich_help_panel="Look around")(score.score)
app.command(cls=LazyCommand, rich_help_panel="Look around")(correlate.correlate)
app.add_typer(bench.app, name="bench", rich_help_panel="Look around")
plugins.app.command(cls=LazyCommand)(plugin_author.new)
plugins.app.command(cls=LazyCommand)(plugin_author.check)
app.add_typer(plugins.app, name="plugins", rich_help_panel="Look around")
app.command(cls=LazyCommand, rich_help_panel="Look around")(describe.describe)
app.command(cls=LazyCommand, rich_help_panel="Look around")(doctor.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def balenas(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Neural architecture search by the Bayesian learning rule."""


@app.command(cls=LazyCommand, rich_help_panel="Look around")
def version() -> None:
    """Print the version."""
    from importlib import metadata

    from balenas_cli.shell.console import print_text

    print_text(f"balenas {metadata.version('balenas-cli')}")


def main() -> None:
    """Run the command line and exit."""
    run_guarded(lambda: app(prog_name="balenas", standalone_mode=False))
