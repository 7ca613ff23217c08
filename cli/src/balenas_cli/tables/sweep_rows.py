"""The trials of a sweep, the best first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from balenas_cli.shell.console import cut_width, show, table

if TYPE_CHECKING:
    from balenas_sweep import Sweep, TrialInfo

_SHOWN = 20


def sweep_table(sweep: Sweep, trials: Sequence[TrialInfo], best: Sequence[TrialInfo]) -> None:
    """Print the best trials, and how many there are of each state."""
    objectives = sweep.spec.objectives
    names = [objective.name for objective in objectives]
    keys = list(dict.fromkeys(key for trial in trials for key in trial.settings))
    listing = table("trial", *names, *keys, "state", right=("trial", *names))
    sign = -1 if objectives[0].direction == "maximize" else 1
    numbers = {trial.number for trial in best}
    ordered = sorted(
        trials,
        key=lambda t: (
            t.number not in numbers,
            not t.values,
            sign * t.values[0] if t.values else 0,
            t.number,
        ),
    )
    for trial in ordered[:_SHOWN]:
        values = [f"{value:.5g}" for value in trial.values] or [""] * len(names)
        state = "best" if trial.number in numbers else trial.state
        told = [str(trial.settings.get(key, "")) for key in keys]
        listing.add_row(str(trial.number), *values, *told, trial.error or state)
    show(listing, width=cut_width())
