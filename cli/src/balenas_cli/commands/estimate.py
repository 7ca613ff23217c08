"""``balenas estimate``."""

from __future__ import annotations

from typing import Annotated

import typer

from balenas_cli.shell import options as options


def estimate(
    config: options.ConfigFile = None,
    space: options.Space = None,
    optimizer: options.Optimizer = None,
    distribution: options.Distribution = None,
    selector: options.Selector = None,
    data: options.Data = None,
    data_root: options.DataRoot = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    device: options.Device = None,
    precision: options.Precision = None,
    threads: options.Threads = None,
    preset: options.Preset = None,
    set_: options.Set = None,
    devices: Annotated[
        int,
        typer.Option("--devices", metavar="N", help="Processes that would share the search."),
    ] = 1,
    bandwidth: Annotated[
        float,
        typer.Option(
            "--bandwidth", metavar="GB/S", help="What a device sends to the others in a second."
        ),
    ] = 10.0,
    steps: Annotated[int, typer.Option("--steps", metavar="N", help="Steps that are timed.")] = 8,
    json: options.Json = False,
) -> None:
    """Say what a search will take, from a few of its steps: memory, operations, time, traffic.

    It takes what 'balenas search' takes, makes some steps here, measures a few candidates of each
    stage of the selection, and writes nothing.
    """
    parameters = locals()
    import contextlib
    import sys

    from balenas_cli.plans.resolve import resolve
    from balenas_cli.shell.alone import check_is_alone
    from balenas_cli.shell.console import print_json, show
    from balenas_core.errors import UsageError

    for name, value, least in (("devices", devices, 1), ("steps", steps, 1)):
        if value < least:
            raise UsageError(f"--{name} must be at least {least} (got {value}).")
    if not 0 < bandwidth < float("inf"):
        raise UsageError(f"--bandwidth must be greater than 0 GB a second (got {bandwidth:g}).")
    check_is_alone("'balenas estimate'")
    resolved = resolve(config, parameters=parameters, overrides=set_, preset=preset)
    # What a plugin or a library prints is no result.
    with contextlib.redirect_stdout(sys.stderr):
        from balenas_core.engine.estimating import estimate as estimated

        found = estimated(resolved, devices=devices, bandwidth=bandwidth * 1e9, steps=steps)
    if json:
        print_json(found.to_dict())
        return
    from balenas_cli.tables.estimate_rows import table_of

    show(table_of(found))
