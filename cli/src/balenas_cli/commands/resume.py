"""``balenas resume``."""

from __future__ import annotations

from balenas_cli.shell import options as options
from balenas_cli.shell.run_names import existing


def resume(
    run: options.Run,
    selector: options.Selector = None,
    tracker: options.Trackers = None,
    device: options.Device = None,
    threads: options.Threads = None,
    set_: options.Set = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Go on with a run that was interrupted, killed or failed.

    It ends in the same result as if it had never stopped. Where it runs may change, and what
    watches it: device, threads, trackers, executor, checkpoint, training.workers, data.root.
    Its selector may become another one too. A run that is done is shown; 'balenas select' chooses
    from it anew.
    """
    from balenas_cli.jobs.search_run import execute, print_stored
    from balenas_cli.plans.resolve import resolve_run
    from balenas_core.runs.listing import DONE

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
        "output": str(path),
    }
    config = resolve_run(path, parameters=parameters, overrides=set_)
    execute(config, resume="must", quiet=quiet, json=json)
