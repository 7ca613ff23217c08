"""Runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from balenas_core.config.flat import differences
from balenas_core.runs.listing import RunInfo

if TYPE_CHECKING:
    from rich.console import RenderableType

_NO_NUMBERS = frozenset({"epoch", "step", "lr"})


def comparison(runs: Sequence[RunInfo]) -> dict[str, Any]:
    """Return names, differing settings, last numbers and architectures, one value per run."""
    settings = differences([_settings(run) for run in runs])
    values = [run.values for run in runs]
    names = dict.fromkeys(name for one in values for name in one if name not in _NO_NUMBERS)
    return {
        "runs": [str(run.path) for run in runs],
        "status": [run.status for run in runs],
        "settings": {key: list(row) for key, row in settings.items()},
        "values": {name: [one.get(name) for one in values] for name in names},
        "architecture": [(run.result or run.metrics).get("architecture") for run in runs],
    }


def _settings(run: RunInfo) -> dict[str, Any]:
    return {key: value for key, value in run.config.items() if key != "output"}


def tables(compared: dict[str, Any]) -> list[RenderableType]:
    """Return the comparison as tables with a column per run."""
    from rich.text import Text

    from balenas_cli.shell.console import table

    columns = [str(number) for number in range(1, len(compared["runs"]) + 1)]
    names = table("", "run", "status", "architecture")
    for row in zip(
        columns, compared["runs"], compared["status"], compared["architecture"], strict=True
    ):
        names.add_row(*(cell or "-" for cell in row))
    parts: list[RenderableType] = [names, Text()]
    if compared["settings"]:
        settings = table("setting", *columns, title="different settings")
        for key, row in compared["settings"].items():
            settings.add_row(key, *("-" if cell is None else str(cell) for cell in row))
        parts += [settings, Text()]
    numbers = table("number", *columns, title="last numbers", right=tuple(columns))
    for name, row in compared["values"].items():
        numbers.add_row(name, *("-" if cell is None else f"{cell:.6g}" for cell in row))
    return [*parts, numbers]
