"""``balenas train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from balenas_cli.shell import options as options
from balenas_cli.shell.complete import complete
from balenas_cli.shell.run_names import complete_run

_RECIPE = "Recipe"


def train(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN|ARCH",
            help="Run directory, or its name in runs/; or an architecture in its space's text "
            "form, with --space; or the directory of a training, to go on with it.",
            autocompletion=complete_run,
            show_default=False,
        ),
    ],
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="NAME",
            help="Recipe that the rest builds on; quick by default.",
            autocompletion=complete("recipe"),
            rich_help_panel=_RECIPE,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", metavar="FILE", help="YAML or TOML file.", rich_help_panel=_RECIPE
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any key of the configuration, such as training.mixup=0.2 or space.channels=16. "
            "May be repeated.",
            rich_help_panel=_RECIPE,
        ),
    ] = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    lr: options.LearningRate = None,
    seed: options.Seed = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            "--seeds",
            metavar="N,N,...",
            help="Train once with each of these seeds, and show mean and standard deviation.",
            rich_help_panel="Training",
        ),
    ] = None,
    rank: Annotated[
        int | None,
        typer.Option(
            "--rank", metavar="K", help="Train the run's K-th candidate instead of the first."
        ),
    ] = None,
    space: options.Space = None,
    plugin: options.PluginFiles = None,
    data: options.Data = None,
    data_root: options.DataRoot = None,
    device: options.Device = None,
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision",
            metavar="TYPE",
            help="float32, bfloat16 or float16.",
            rich_help_panel="Machine",
        ),
    ] = None,
    threads: options.Threads = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            metavar="DIRECTORY",
            help="Directory of the training; RUN/training by default, or, of an architecture, "
            "runs/<date>-<time>-<space>-train-seed<seed>.",
        ),
    ] = None,
    resume: options.ResumeHow = "never",
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train the network that a search found, or any architecture, from scratch.

    A run gives search space, data set and architecture; a preset gives the recipe and, where it
    is for one space, the size of the network. --set goes over flags, flags over --config, that
    over the preset, and the preset over the run. 'balenas train RUN --dry-run' shows every key.
    The whole training set is trained on, and the test part of the data set is tested on.

    Several GPUs: torchrun --nproc-per-node=N -m balenas_cli train ...
    """
    parameters = locals()
    from balenas_cli.commands.search import checked_resume
    from balenas_cli.plans.resolve import add_plugins
    from balenas_cli.plans.train_plan import check_is_installed, plan
    from balenas_cli.shell.console import print_json, print_text
    from balenas_core.config import dump_yaml

    check_is_installed()
    add_plugins(plugin)
    planned = plan(
        target,
        parameters,
        preset=preset,
        rank=rank,
        config=config,
        overrides=set_ or (),
        seeds=seeds,
        resume=checked_resume(resume),
    )
    if dry_run:
        plain = planned.jobs[0].model_dump(mode="json")
        if json:
            print_json(plain)
        else:
            print_text(dump_yaml(plain))
        return
    from balenas_cli.jobs.train_run import execute

    execute(planned, quiet=quiet, json=json)
