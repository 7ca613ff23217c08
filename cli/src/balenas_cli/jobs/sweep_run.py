"""Running a sweep and showing what it found."""

from __future__ import annotations

import contextlib
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balenas_cli.jobs.stopping import stops
from balenas_cli.shell.console import print_json, print_text, stderr
from balenas_cli.tables.sweep_rows import sweep_table
from balenas_core.errors import SelectionError, UsageError

if TYPE_CHECKING:
    from balenas_cli.plans.sweep_plan import Plan
    from balenas_core.interfaces.executor import Executor
    from balenas_sweep import Sweep, TrialInfo


def execute(plan: Plan, *, retry_failed: bool, quiet: bool, json: bool) -> None:
    """Begin a sweep, or go on with one, and print its trials, the best first."""
    from balenas_sweep import Sweep, is_sweep

    if plan.resume == "never" or (plan.resume == "allow" and not is_sweep(plan.folder)):
        assert plan.spec is not None, "only going on needs none"
        sweep = Sweep.begin(plan.folder, plan.spec, storage=plan.storage, study=plan.name)
    else:
        sweep = Sweep.open(plan.folder, storage=plan.storage, spec=plan.spec)
    run(sweep, plan.executor, retry_failed=retry_failed, quiet=quiet, json=json)


def go_on(folder: Path, executor: Executor, *, quiet: bool, json: bool) -> None:
    """Go on with a sweep, as ``balenas resume`` does."""
    from balenas_sweep import Sweep

    run(Sweep.open(folder), executor, retry_failed=False, quiet=quiet, json=json)


def run(sweep: Sweep, executor: Executor, *, retry_failed: bool, quiet: bool, json: bool) -> None:
    """Run what is left of a sweep.

    Raises:
        SelectionError: Every trial has failed.
    """
    from balenas_sweep import request_stop

    def ended(trial: TrialInfo, over: int) -> None:
        if not (quiet or json):
            stderr().print(_line(sweep, trial, over), soft_wrap=True)

    # What a plugin or a library prints is no result.
    try:
        with contextlib.redirect_stdout(sys.stderr), stops(request_stop, what="trials"):
            if retry_failed:
                sweep.retry_failed()
            sweep.run(executor, ended=ended)
    except KeyboardInterrupt:
        command = shlex.join(["balenas", "resume", str(sweep.folder)])
        stderr().print(f"the sweep goes on with: {command}", soft_wrap=True)
        raise
    finally:
        executor.close()
    _show(sweep, json=json)


def _show(sweep: Sweep, *, json: bool) -> None:
    trials, best = sweep.trials(), sweep.best()
    if trials and not best:
        first = next((trial.error for trial in trials if trial.error), "all were pruned")
        raise SelectionError(
            f"none of the {len(trials)} trials of {sweep.folder} has a result; the first: {first}"
        )
    if json:
        print_json(_plain(sweep, trials, best))
        return
    sweep_table(sweep, trials, best)
    files = ", ".join(str(path) for path in sweep.written)
    print_text(f"\nbest settings   {files}")
    print_text(f"compare         balenas runs list --folder {shlex.quote(str(sweep.folder))}")
    print_text(f"report          balenas report {shlex.quote(str(sweep.folder))}/trial-*")
    if sweep.dashboard is not None:
        print_text(f"dashboard       optuna-dashboard {shlex.quote(sweep.dashboard)}")


def _plain(sweep: Sweep, trials: list[TrialInfo], best: list[TrialInfo]) -> dict[str, Any]:
    names = [objective.name for objective in sweep.spec.objectives]
    return {
        "folder": str(sweep.folder),
        "objectives": [o.model_dump() for o in sweep.spec.objectives],
        "best": [trial.number for trial in best],
        "trials": [
            {
                "number": trial.number,
                "state": trial.state,
                "values": dict(zip(names, trial.values, strict=False)),
                "settings": trial.settings,
                "run": str(trial.path),
                "error": trial.error,
            }
            for trial in trials
        ],
    }


def _line(sweep: Sweep, trial: TrialInfo, over: int) -> str:
    told = " ".join(f"{key}={value}" for key, value in trial.settings.items())
    if trial.values:
        names = (objective.name for objective in sweep.spec.objectives)
        found = ", ".join(
            f"{name} {value:.5g}" for name, value in zip(names, trial.values, strict=True)
        )
    else:
        found = f"{trial.state}: {trial.error}" if trial.error else trial.state
    return f"trial {trial.number} ({over} of {sweep.spec.trials} over): {found}; {told}"


def executor_for(flag: str | None, jobs: int | None, overrides: list[str] | None) -> Executor:
    """Return where the trials of a sweep run that is gone on with.

    Raises:
        UsageError: ``--set`` names something that the sweep was begun with.
    """
    from balenas_cli.plans.sweep_plan import executor_of

    others = [text for text in overrides or () if not text.strip().startswith("executor")]
    if others:
        raise UsageError(
            f"--set {others[0]}: a sweep goes on with the settings that it was begun with; only "
            f"its executor may become another."
        )
    return executor_of(flag, jobs, overrides or ())
