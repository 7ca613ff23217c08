"""``balenas search``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from balenas_cli.shell import options as options

if TYPE_CHECKING:
    from balenas_core.config import SearchConfig
    from balenas_core.runs.resume import Resume


def search(
    config: options.ConfigFile = None,
    space: options.Space = None,
    optimizer: options.Optimizer = None,
    distribution: options.Distribution = None,
    selector: options.Selector = None,
    data: options.Data = None,
    data_root: options.DataRoot = None,
    plugin: options.PluginFiles = None,
    tracker: options.Trackers = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    lr: options.LearningRate = None,
    draws: options.Draws = None,
    check_epochs: options.CheckEpochs = None,
    max_params: options.MaxParams = None,
    max_flops: options.MaxFlops = None,
    max_latency: options.MaxLatency = None,
    seed: options.Seed = None,
    device: options.Device = None,
    precision: options.Precision = None,
    threads: options.Threads = None,
    executor: options.Executor = None,
    jobs: options.Jobs = None,
    output: options.Output = None,
    preset: options.Preset = None,
    set_: options.Set = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    resume: options.ResumeHow = "never",
    dry_run: options.DryRun = False,
) -> None:
    """Search for an architecture.

    Everything can be given as flags, in a file, or both; --set goes over flags, flags over the
    file, the file over the preset, the preset over the defaults.
    """
    parameters = locals()
    from balenas_cli.jobs.search_run import execute
    from balenas_cli.plans.resolve import add_plugins, resolve
    from balenas_cli.shell.console import print_json, print_text
    from balenas_core.config import to_yaml

    add_plugins(plugin)
    resolved = resolve(config, parameters=parameters, overrides=set_, preset=preset)
    how = checked_resume(resume)
    if how == "never":
        resolved = _with_output(resolved)
    if dry_run:
        if json:
            print_json(resolved.model_dump(mode="json"))
        else:
            print_text(to_yaml(resolved))
        return
    execute(resolved, resume=how, quiet=quiet, json=json)


def checked_resume(resume: str) -> Resume:
    """Return the value of ``--resume``.

    Raises:
        UsageError: It is none.
    """
    from typing import get_args

    from balenas_core.errors import UsageError
    from balenas_core.runs.resume import Resume

    for choice in get_args(Resume):
        if resume == choice:
            chosen: Resume = choice
            return chosen
    raise UsageError(f"--resume must be never, allow or must (got {resume!r}).")


def _with_output(config: SearchConfig) -> SearchConfig:
    from datetime import datetime

    from balenas_cli.shell.output import default_output

    if config.output is not None:
        return config
    now = datetime.now().astimezone()
    output = default_output(config.space.name, config.optimizer.name, config.seed, now)
    return config.model_copy(update={"output": output})
