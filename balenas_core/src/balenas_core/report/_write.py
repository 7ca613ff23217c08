"""From run directories to a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from balenas_core.errors import UsageError
from balenas_core.files import output_errors, write_atomically
from balenas_core.plugins.registry import Registry, default_registry
from balenas_core.runs.directory import check_holds_run


def write_report(
    runs: Sequence[Path],
    output: Path,
    *,
    registry: Registry | None = None,
    is_static: bool = False,
) -> None:
    """Write a report of runs, atomically.

    Args:
        runs: Directories of runs, in any state.
        output: The HTML file.
        registry: Where search spaces are looked up; the process's own by default.
        is_static: As in ``render_report``.

    Raises:
        UsageError: A directory holds no run, none was given, or the extra is not installed.
        OutputError: The file cannot be written.
    """
    page = render_report(runs, registry=registry, is_static=is_static)
    with output_errors(output):
        write_atomically(output.resolve(), lambda file: file.write(page.encode()))


def render_report(
    runs: Sequence[Path], *, registry: Registry | None = None, is_static: bool = False
) -> str:
    """Return a report of runs as HTML.

    Args:
        runs: Directories of runs, in any state. More than one are compared.
        registry: Where search spaces are looked up; the process's own by default.
        is_static: Leave out the library that makes charts answer to a pointer (about 0.9 MB).

    Raises:
        UsageError: A directory holds no run, none was given, or the extra is not installed.
    """
    if not runs:
        raise UsageError("a report needs at least one run.")
    for run in runs:
        check_holds_run(run)
    try:
        import altair  # noqa: F401
        import jinja2  # noqa: F401
        import vl_convert  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"a report needs {error.name}, which cannot be imported ({error}). "
            f"Install it with: pip install 'balenas-core[report]'"
        ) from error
    from altair.utils.schemapi import debug_mode

    from balenas_core.report._contents import contents
    from balenas_core.report._page import page
    from balenas_core.report._record import read_records

    records = read_records(runs, registry or default_registry())
    with debug_mode(False):  # Altair would check every part of every chart as it is made
        made = contents(records)
    return page(made, is_static=is_static)
