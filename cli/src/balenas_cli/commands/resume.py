"""``balenas resume``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from balenas_cli.shell import options as options
from balenas_cli.shell.run_names import existing, run_path

if TYPE_CHECKING:
    from pathlib import Path

_SWEEP = "sweep.json"


def resume(
    run: options.Run,
    selector: options.Selector = None,
    tracker: options.Trackers = None,
    device: options.Device = None,
    threads: options.Threads = None,
    executor: options.Executor = None,
    jobs: options.Jobs = None,
    set_: options.Set = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Go on with a run that was interrupted, killed or failed.

    It ends in the same result as if it had never stopped. Where it runs may change, and what
    watches it: device, threads, trackers, executor, checkpoint, training.workers, data.root.
    Its selector may become another one too. A run that is done is shown; 'balenas select' chooses
    from it anew. A sweep goes on with the trials that are left, where --executor says.
    """
    from balenas_cli.jobs.search_run import execute, print_stored
    from balenas_cli.plans.resolve import resolve_run
    from balenas_core.runs.listing import DONE

    if (run_path(run) / _SWEEP).is_file():
        _go_on_with_sweep(run_path(run), executor, jobs, set_, quiet=quiet, json=json)
        return
    info = existing(run)
    path = info.path
    if info.stated == DONE and selector is None and not set_:
        print_stored(info, json=json)
        return
    parameters = {
        "selector": selector,
        "tracker": tracker,
        "device": device,
        "threads": threads,
        "executor": executor,
        "jobs": jobs,
        "output": str(path),
    }
    config = resolve_run(path, parameters=parameters, overrides=set_)
    execute(config, resume="must", quiet=quiet, json=json)


def _go_on_with_sweep(
    folder: Path,
    executor: str | None,
    jobs: int | None,
    overrides: list[str] | None,
    *,
    quiet: bool,
    json: bool,
) -> None:
    from balenas_cli.plans.sweep_plan import check_is_installed
    from balenas_cli.shell.alone import check_is_alone

    check_is_alone("a sweep")
    check_is_installed()
    from balenas_cli.jobs.sweep_run import executor_for, go_on

    go_on(folder, executor_for(executor, jobs, overrides), quiet=quiet, json=json)
