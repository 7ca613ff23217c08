"""``balenas report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from balenas_cli.shell.run_names import complete_run

_NAME = "report.html"


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            help="Run directories, or their names in runs/.",
            autocompletion=complete_run,
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where the page goes: report.html by default, of one run into its directory.",
        ),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show it in a browser.")] = False,
    static: Annotated[
        bool,
        typer.Option(
            "--static", help="Leave out the library that makes charts answer to a pointer (0.9 MB)."
        ),
    ] = False,
) -> None:
    """Make one HTML page of runs: what was found, how, and how to repeat it.

    The page needs no network and no other file, and no scripts either. Several runs are
    compared; those that differ in their seed only are told of together. Runs may be in any
    state: of one that goes on, the page shows what there is.
    """
    from balenas_cli.shell.console import print_text
    from balenas_cli.shell.run_names import run_path
    from balenas_core.report import write_report

    paths = [run_path(run) for run in runs]
    page = output or (paths[0] / _NAME if len(paths) == 1 else Path(_NAME))
    write_report(paths, page, is_static=static)
    print_text(str(page))
    if open_:
        _show(page)


def _show(page: Path) -> None:
    import webbrowser

    from balenas_cli.shell.console import stderr

    if not webbrowser.open(page.resolve().as_uri()):
        stderr().print(f"no browser was found here; open {page} in one", soft_wrap=True)
