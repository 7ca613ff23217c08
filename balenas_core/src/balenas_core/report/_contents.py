"""From runs to what is on the page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from balenas_core.report._comparison import comparison, overview
from balenas_core.report._groups import grouped
from balenas_core.report._numbers import count
from balenas_core.report._parts import Contents, Part, Section
from balenas_core.report._record import RunRecord
from balenas_core.report._run_sections import run_parts


def contents(runs: Sequence[RunRecord]) -> Contents:
    """Return the contents of a report of runs."""
    from balenas_core import __version__

    made = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    subtitle = f"Made on {made} by balenas {__version__}."
    if len(runs) == 1:
        (run,) = runs
        title = f"Search run {run.name}"
        status = f"Status: {run.info.status}. "
        return Contents(title, status + subtitle, run_parts(run))
    groups = grouped(runs)
    ordered = [run for group in groups for run in group.runs]
    anchors = {run.name: f"run-{number}" for number, run in enumerate(ordered, start=1)}
    parts: list[Part] = [
        overview(groups, anchors),
        Section("Comparison", comparison(groups), anchor="comparison"),
    ]
    parts += [
        Section(run.name, run_parts(run), anchor=anchors[run.name], status=run.info.status)
        for run in ordered
    ]
    return Contents(f"Report of {count(len(runs), 'run')}", subtitle, parts)
