"""``balenas search``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from balenas_cli import _options as options

if TYPE_CHECKING:
    from balenas_core.config import SearchConfig
    from balenas_core.result import SearchResult


def search(
    config: options.ConfigFile = None,
    space: options.Space = None,
    optimizer: options.Optimizer = None,
    distribution: options.Distribution = None,
    selector: options.Selector = None,
    data: options.Data = None,
    data_root: options.DataRoot = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    lr: options.LearningRate = None,
    draws: options.Draws = None,
    seed: options.Seed = None,
    device: options.Device = None,
    precision: options.Precision = None,
    threads: options.Threads = None,
    output: options.Output = None,
    preset: options.Preset = None,
    set_: options.Set = None,
    json: options.Json = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show no progress, only the result.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the complete configuration and stop.")
    ] = False,
) -> None:
    """Search for an architecture.

    Everything can be given as flags, in a file, or both; --set goes over flags, flags over the
    file, the file over the preset, the preset over the defaults.
    """
    parameters = locals()
    from balenas_cli._console import print_json, print_text
    from balenas_cli._resolve import resolve
    from balenas_core.config import to_yaml

    resolved = _with_output(resolve(config, parameters=parameters, overrides=set_, preset=preset))
    if dry_run:
        if json:
            print_json(resolved.model_dump(mode="json"))
        else:
            print_text(to_yaml(resolved))
        return
    result = _run(resolved, quiet=quiet or json)
    if json:
        from balenas_core.run import finite

        print_json(finite({**result.to_dict(), "run": str(result.run)}))
        return
    from balenas_cli._report import print_report

    print_report(result)
    again = _next_command(resolved, result)
    if again is not None:
        print_text(f"\nThe same search with another seed:\n  {again}")


def _with_output(config: SearchConfig) -> SearchConfig:
    from datetime import datetime

    from balenas_cli._output import default_output

    if config.output is not None:
        return config
    now = datetime.now().astimezone()
    output = default_output(config.space.name, config.optimizer.name, config.seed, now)
    return config.model_copy(update={"output": output})


def _run(config: SearchConfig, *, quiet: bool) -> SearchResult:
    import contextlib
    import sys

    from balenas_cli._console import stderr
    from balenas_cli._progress import shown
    from balenas_cli._record import Record

    record = Record()
    try:
        # What a plugin or a library prints is no result.
        with contextlib.redirect_stdout(sys.stderr), shown(stderr(), quiet=quiet) as progress:
            from balenas_core.search import Search

            return Search(config, listeners=[record, progress]).run()
    except BaseException:
        if record.kept:
            stderr().print(record.kept, soft_wrap=True)
        raise


def _next_command(config: SearchConfig, result: SearchResult) -> str | None:
    """Return the command that repeats the search with another seed."""
    import shlex

    from balenas_cli._output import free_path

    if result.run is None:
        return None
    seed = config.seed + 1
    name = result.run.name.removesuffix(f"-seed{config.seed}")
    output = free_path(result.run.with_name(f"{name}-seed{seed}"))
    arguments = [result.run / "config.yaml", "--seed", seed, "--output", output]
    return shlex.join(["balenas", "search", *map(str, arguments)])
