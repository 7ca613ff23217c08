"""``balenas select``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from balenas_cli.shell import options as options
from balenas_cli.shell.run_names import run_path

if TYPE_CHECKING:
    from balenas_core.config import SearchConfig
    from balenas_core.interfaces.result import SearchResult


def select(
    run: options.Run,
    selector: options.Selector = None,
    draws: options.Draws = None,
    check_epochs: options.CheckEpochs = None,
    max_params: options.MaxParams = None,
    max_flops: options.MaxFlops = None,
    max_latency: options.MaxLatency = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="NAME",
            help="What the selection is called; by default after its selector.",
        ),
    ] = None,
    device: options.Device = None,
    threads: options.Threads = None,
    executor: options.Executor = None,
    jobs: options.Jobs = None,
    set_: options.Set = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Choose once more from what a finished search has learned, without searching.

    The selection is kept in RUN/selections/NAME.json, beside the run's own result, and listed by
    'balenas runs show'. What the run's selections have scored or trained so far is not computed
    again; one that is stopped goes on with the same command. Without --selector, it is the run's
    own with the other options that are given.
    """
    parameters = locals()
    from balenas_cli.jobs.search_run import print_result
    from balenas_cli.plans.resolve import resolve_run
    from balenas_core.runs.directory import check_holds_run
    from balenas_core.runs.selections import selection_file

    path = run_path(run)
    check_holds_run(path)
    parameters["output"] = str(path)
    config = resolve_run(path, parameters=parameters, overrides=set_)
    file = selection_file(path, config.selector.name, name)
    result = _chosen(config, file, quiet=quiet or json)
    print_result(result, None, json=json)
    if not json:
        from balenas_cli.shell.console import print_text

        print_text(f"\nThe selection is kept in {file}.")


def _chosen(config: SearchConfig, file: Path, *, quiet: bool) -> SearchResult:
    import contextlib
    import sys

    from balenas_cli.jobs.progress import shown
    from balenas_cli.jobs.search_run import say_done
    from balenas_cli.jobs.stopping import stops
    from balenas_cli.shell.alone import check_is_alone
    from balenas_cli.shell.console import stderr

    check_is_alone("a selection")
    if file.exists():
        say_done(file)
    # What a plugin or a library prints is no result.
    with contextlib.redirect_stdout(sys.stderr), shown(stderr(), quiet=quiet) as progress:
        from balenas_core.engine.search import Search

        progress.begin(0, 0)
        search = Search(config, listeners=[progress])
        with stops(search.request_stop, what="scores"):
            return search.select(file.stem)
