"""Running a search and showing what it found, for ``search`` and ``resume``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from balenas_core._resume import Resume
    from balenas_core.config import SearchConfig
    from balenas_core.result import SearchResult


def execute(config: SearchConfig, *, resume: Resume, quiet: bool, json: bool) -> None:
    """Run a search and print its result.

    Args:
        config: The search.
        resume: What to do where the output holds a run.
        quiet: Show no progress.
        json: Print the result as JSON, and nothing else.
    """
    from balenas_cli._console import print_json, print_text

    result = _run(config, resume, quiet=quiet or json)
    if json:
        from balenas_core.run import finite

        print_json(finite({**result.to_dict(), "run": str(result.run)}))
        return
    from balenas_cli._report import print_report

    print_report(result)
    again = _next_command(config, result)
    if again is not None:
        print_text(f"\nThe same search with another seed:\n  {again}")


def resume_command(run: Path) -> str:
    """Return the command that goes on with a run."""
    return shlex.join(["balenas", "resume", str(run)])


def _run(config: SearchConfig, resume: Resume, *, quiet: bool) -> SearchResult:
    import contextlib
    import sys

    from balenas_cli._console import stderr
    from balenas_cli._progress import shown
    from balenas_cli._record import Record
    from balenas_cli._stopping import stops

    record = Record()

    def note(line: str) -> None:
        stderr().print(line, soft_wrap=True)

    try:
        # What a plugin or a library prints is no result.
        with contextlib.redirect_stdout(sys.stderr), shown(stderr(), quiet=quiet) as progress:
            from balenas_core.search import Search

            search = Search(config, listeners=[record, progress])
            with stops(search.request_stop):
                result = search.run(resume=resume)
    except BaseException as error:
        for line in record.kept(error):
            note(line)
        raise
    if not record.has_started:
        note(f"{result.run} is done already; this is its result")
    return result


def _next_command(config: SearchConfig, result: SearchResult) -> str | None:
    """Return the command that repeats the search with another seed."""
    from balenas_cli._output import free_path

    if result.run is None:
        return None
    seed = config.seed + 1
    name = result.run.name.removesuffix(f"-seed{config.seed}")
    output = free_path(result.run.with_name(f"{name}-seed{seed}"))
    arguments = [result.run / "config.yaml", "--seed", seed, "--output", output]
    return shlex.join(["balenas", "search", *map(str, arguments)])
