"""Running a search and showing what it found, for ``search``, ``resume`` and ``select``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from balenas_core.config import SearchConfig
    from balenas_core.interfaces.result import SearchResult
    from balenas_core.runs.listing import RunInfo
    from balenas_core.runs.resume import Resume


def execute(config: SearchConfig, *, resume: Resume, quiet: bool, json: bool) -> None:
    """Run a search and print its result.

    Under torchrun, every process works at it, and the first one shows it.

    Args:
        config: The search.
        resume: What to do where the output holds a run.
        quiet: Show no progress.
        json: Print the result as JSON, and nothing else.
    """
    from balenas_core.engine.launch import is_first_process

    if not is_first_process():
        from balenas_cli.jobs.processes import follow

        follow(lambda: _run(config, resume, quiet=True))
        return
    print_result(_run(config, resume, quiet=quiet or json), config.seed, json=json)


def print_result(result: SearchResult, seed: int | None, *, json: bool) -> None:
    """Print what a search found.

    Args:
        result: Its result.
        seed: Its seed, to say how it is repeated with another; None to say nothing.
        json: Print JSON, and nothing else.
    """
    from balenas_cli.shell.console import print_json, print_text

    if json:
        from balenas_core.runs.directory import finite

        print_json(finite({**result.to_dict(), "run": str(result.run)}))
        return
    from balenas_cli.tables.result import print_report

    print_report(result)
    if result.run is not None and seed is not None:
        again = _next_command(result.run, seed)
        print_text(f"\nThe same search with another seed:\n  {again}")


def print_stored(run: RunInfo, *, json: bool) -> None:
    """Print the result of a run that is done; the plugins that made it need not be there."""
    from balenas_core.runs.stored_result import read_result

    say_done(run.path)
    print_result(read_result(run.path), run.config.get("seed"), json=json)


def say_done(what: Path) -> None:
    """Say that there is nothing to do."""
    from balenas_cli.shell.console import stderr

    stderr().print(f"{what} is done already; this is its result", soft_wrap=True)


def _run(config: SearchConfig, resume: Resume, *, quiet: bool) -> SearchResult:
    import contextlib
    import sys

    from balenas_cli.jobs.progress import shown
    from balenas_cli.jobs.record import Record
    from balenas_cli.jobs.stopping import stops
    from balenas_cli.shell.console import stderr
    from balenas_core.engine.launch import is_first_process

    record = Record()

    def note(line: str) -> None:
        stderr().print(line, soft_wrap=True)

    try:
        # What a plugin or a library prints is no result.
        with contextlib.redirect_stdout(sys.stderr), shown(stderr(), quiet=quiet) as progress:
            from balenas_core.engine.search import Search

            search = Search(config, listeners=[record, progress])
            with stops(search.request_stop):
                result = search.run(resume=resume)
    except BaseException as error:
        for line in record.kept(error):
            note(line)
        raise
    if not record.has_started and result.run is not None and is_first_process():
        say_done(result.run)
    return result


def _next_command(run: Path, seed: int) -> str:
    """Return the command that repeats the search with another seed."""
    from balenas_cli.shell.output import free_path

    name = run.name.removesuffix(f"-seed{seed}")
    output = free_path(run.with_name(f"{name}-seed{seed + 1}"))
    arguments = [run / "config.yaml", "--seed", seed + 1, "--output", output]
    return shlex.join(["balenas", "search", *map(str, arguments)])
