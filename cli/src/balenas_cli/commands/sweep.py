"""``balenas sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from balenas_cli.shell import options as options

_TRIALS = "Trials"
_STUDY = "Study"


def sweep(
    config: options.ConfigFile = None,
    over: Annotated[
        list[str] | None,
        typer.Option(
            "--over",
            metavar="KEY=A,B",
            help="Values of a key: a grid of all of them, or with --trials what a sampler chooses "
            "from, then also KEY=LOW..HIGH or KEY=LOW..HIGH:log. May be repeated.",
            rich_help_panel=_TRIALS,
        ),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            "--seeds",
            metavar="0..9",
            help="Every trial with each of these seeds.",
            rich_help_panel=_TRIALS,
        ),
    ] = None,
    list_: Annotated[
        Path | None,
        typer.Option(
            "--list",
            metavar="FILE",
            help="A YAML or JSON file with a list of trials, each a mapping of keys to values.",
            rich_help_panel=_TRIALS,
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            "--trials",
            metavar="N",
            min=1,
            max=1_000_000,
            help="N trials that a sampler proposes, instead of a grid.",
            rich_help_panel=_TRIALS,
        ),
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(
            "--objective",
            metavar="NAME[:min|max]",
            help="What trials are compared by: check_accuracy (the default), cifar10.regret, a "
            "proxy of the selector, or any number of 'balenas runs list'. Several: a Pareto front.",
            rich_help_panel=_STUDY,
        ),
    ] = None,
    sampler: Annotated[
        str,
        typer.Option(
            "--sampler",
            metavar="NAME",
            help="tpe, random, gp, cmaes, qmc, nsga2 or nsga3.",
            rich_help_panel=_STUDY,
        ),
    ] = "tpe",
    pruner: Annotated[
        str,
        typer.Option(
            "--pruner",
            metavar="NAME",
            help="Ends trials early by their epochs: none, median, halving or hyperband.",
            rich_help_panel=_STUDY,
        ),
    ] = "none",
    report: Annotated[
        str | None,
        typer.Option(
            "--report",
            metavar="METRIC",
            help="Metric of epochs that the pruner sees; validation_accuracy, or validation_loss "
            "where less is better.",
            rich_help_panel=_STUDY,
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage",
            metavar="URL",
            help="Where the study is: postgresql://USER@HOST/NAME, mysql://..., journal for a "
            "journal in the folder; a SQLite file in the folder by default.",
            rich_help_panel=_STUDY,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="NAME",
            help="Of the study in its storage; the folder's by default.",
            rich_help_panel=_STUDY,
        ),
    ] = None,
    attempts: Annotated[
        int,
        typer.Option(
            "--attempts",
            metavar="N",
            min=1,
            max=100,
            help="How often a trial is begun that gets no further.",
            rich_help_panel=_STUDY,
        ),
    ] = 3,
    heartbeat: Annotated[
        int,
        typer.Option(
            "--heartbeat",
            metavar="SECONDS",
            min=1,
            max=3600,
            help="Between two signs of life of a trial; after three without, another takes it up.",
            rich_help_panel=_STUDY,
        ),
    ] = 20,
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
    check_epochs: options.CheckEpochs = None,
    seed: options.Seed = None,
    device: options.Device = None,
    threads: options.Threads = None,
    executor: options.Executor = None,
    jobs: options.Jobs = None,
    preset: options.Preset = None,
    set_: options.Set = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="DIRECTORY",
            help="Folder of the sweep; runs/<date>-<time>-sweep by default.",
            rich_help_panel="Configuration",
        ),
    ] = None,
    resume: options.ResumeHow = "never",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Begin trials again that have failed for good.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the trials of a grid or a list and stop.")
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run many searches: a grid, a list, or a study of Optuna.

    Every trial is an ordinary run directory in the folder of the sweep. A sweep that is stopped
    or killed goes on with 'balenas resume FOLDER': what is done is not run again, what was
    running goes on from its checkpoint. The same command with --resume allow joins a sweep as
    one more worker, also on other machines that share the folder and the storage.
    """
    parameters = locals()
    from balenas_cli.plans.sweep_plan import plan
    from balenas_cli.shell.alone import check_is_alone

    check_is_alone("a sweep")
    planned = plan(config, parameters)
    if dry_run:
        from balenas_cli.shell.console import print_json, print_text

        rows = planned.rows
        if json:
            print_json(rows)
        else:
            lines = (" ".join(f"{key}={value}" for key, value in row.items()) for row in rows)
            print_text("\n".join(lines) or "what the sampler proposes")
        return
    from balenas_cli.jobs.sweep_run import execute

    execute(planned, retry_failed=retry_failed, quiet=quiet, json=json)
