"""Where output goes: results to stdout, everything else to stderr; all of it printable."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from balenas_core.files import json_text, printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

_UNLIMITED = 10_000
_NO_TERMINAL = 120


@cache
def stdout() -> Console:
    """Return the console of results."""
    return _console(is_stderr=False)


@cache
def stderr() -> Console:
    """Return the console of progress, warnings and notes."""
    return _console(is_stderr=True)


def _console(*, is_stderr: bool) -> Console:
    from balenas_cli.shell.printing import PrintableConsole

    stream = sys.stderr if is_stderr else sys.stdout
    # In a file or a pipe a line must not be broken at 80 columns.
    width = None if stream.isatty() or os.environ.get("COLUMNS") else _UNLIMITED
    return PrintableConsole(
        stderr=is_stderr, width=width, highlight=False, markup=False, emoji=False
    )


def cut_width() -> int:
    """Return the columns to which long listings are cut, also where they go into a pipe.

    Those of the terminal that any of the streams is on; else ``COLUMNS``, or 120.
    """
    for stream in (sys.stdout, sys.stderr, sys.stdin):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # closed, or no terminal
            return os.get_terminal_size(stream.fileno()).columns
    columns = os.environ.get("COLUMNS", "")
    return int(columns) if columns.isdecimal() and int(columns) > 0 else _NO_TERMINAL


def show(renderable: RenderableType, *, width: int | None = None) -> None:
    """Print a result; in a file or a pipe without the blanks that pad it on a terminal.

    Args:
        renderable: The result.
        width: Columns to keep to in a file or a pipe, too; None for no limit there.
    """
    console = stdout()
    if console.is_terminal:
        console.print(renderable)
        return
    with console.capture() as capture:
        console.print(renderable, width=width)
    print_text("\n".join(line.rstrip() for line in capture.get().splitlines()))


def print_json(value: Any) -> None:
    """Write ``value`` as JSON on stdout."""
    sys.stdout.write(json_text(json.dumps(value, indent=2, ensure_ascii=False)) + "\n")


def print_json_line(value: Any) -> None:
    """Write ``value`` as one line of JSON on stdout."""
    sys.stdout.write(json_text(json.dumps(value, ensure_ascii=False)) + "\n")


def print_text(text: str) -> None:
    """Write ``text`` on stdout, without wrapping or colour."""
    sys.stdout.write(printable(text if text.endswith("\n") else text + "\n"))


def say(text: str) -> None:
    """Write ``text`` on stderr, without wrapping or colour, and without importing rich."""
    sys.stderr.write(printable(text if text.endswith("\n") else text + "\n"))


def confirm(question: str) -> None:
    """Ask on the terminal, and go on only after a yes.

    Raises:
        typer.Abort: The answer is no, or there is none.
    """
    import typer

    typer.confirm(printable(question), abort=True, err=True)


def table(*columns: str, title: str | None = None, right: tuple[str, ...] = ()) -> Table:
    """Return an empty table in the style of every balenas listing."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, title=title, title_justify="left", title_style="bold")
    for name in columns:
        is_right = name in right
        made.add_column(
            name, justify="right" if is_right else "left", no_wrap=is_right, overflow="fold"
        )
    return made
