"""Figures as files, by matplotlib where it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from balenas_core.errors import OutputError, UsageError

_FORMATS = (".png", ".svg", ".pdf")


def figure_class(output: Path, flag: str) -> Any:
    """Return matplotlib's ``Figure``, after a look at the name of the file to write.

    Args:
        output: Where the figure will go.
        flag: The flag that names it, for messages.

    Raises:
        UsageError: matplotlib is not installed, or the file's name has another ending.
    """
    if output.suffix.lower() not in _FORMATS:
        raise UsageError(f"{flag} must end in {', '.join(_FORMATS)}; got {str(output)!r}.")
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError(
            f"plots need matplotlib, which cannot be imported ({error}). "
            f"Install it with: pip install 'balenas-cli[plot]'"
        ) from error
    return Figure


def save(figure: Any, output: Path, flag: str) -> None:
    """Write a figure.

    Raises:
        OutputError: The file cannot be written.
    """
    try:
        figure.savefig(output, dpi=150)
    except OSError as error:
        raise OutputError(
            f"cannot write {output}: {error.strerror or error}. Give another file to {flag}."
        ) from error
