"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from balenas_cli.shell.complete import complete
from balenas_cli.shell.run_names import complete_run

_PLUGINS = "Plugins"
_TRAINING = "Training"
_MACHINE = "Machine"
_CONFIG = "Configuration"

Run = Annotated[
    Path,
    typer.Argument(
        metavar="RUN",
        help="Run directory, or its name in runs/.",
        autocompletion=complete_run,
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress, only the result.")]
ConfigFile = Annotated[
    Path | None,
    typer.Argument(metavar="[CONFIG]", help="YAML or TOML file.", show_default=False),
]
Space = Annotated[
    str | None,
    typer.Option(
        "--space",
        "-s",
        metavar="NAME",
        help="Search space.",
        autocompletion=complete("space"),
        rich_help_panel=_PLUGINS,
    ),
]
Optimizer = Annotated[
    str | None,
    typer.Option(
        "--optimizer",
        "-o",
        metavar="NAME",
        help="Architecture optimizer.",
        autocompletion=complete("optimizer"),
        rich_help_panel=_PLUGINS,
    ),
]
Distribution = Annotated[
    str | None,
    typer.Option(
        "--distribution",
        metavar="NAME",
        help="Distribution over architectures.",
        autocompletion=complete("distribution"),
        rich_help_panel=_PLUGINS,
    ),
]
Selector = Annotated[
    str | None,
    typer.Option(
        "--selector",
        metavar="NAME",
        help="How the final architecture is chosen: a selector, a proxy, proxies such as a+b, "
        "stages such as a+b > supernet > train, or auto for what the space recommends.",
        autocompletion=complete("selector", "proxy"),
        rich_help_panel=_PLUGINS,
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="NAME",
        help="Dataset.",
        autocompletion=complete("dataset"),
        rich_help_panel=_PLUGINS,
    ),
]
DataRoot = Annotated[
    str | None,
    typer.Option(
        "--data-root",
        metavar="PATH",
        help="File or folder of the dataset.",
        rich_help_panel=_PLUGINS,
    ),
]
Trackers = Annotated[
    list[str] | None,
    typer.Option(
        "--tracker",
        metavar="NAME",
        help="Experiment tracker that records the search, instead of those of the file. May be "
        "repeated.",
        autocompletion=complete("tracker"),
        rich_help_panel=_PLUGINS,
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option("--epochs", metavar="N", help="Epochs.", rich_help_panel=_TRAINING),
]
BatchSize = Annotated[
    int | None,
    typer.Option("--batch-size", metavar="N", help="Images per step.", rich_help_panel=_TRAINING),
]
LearningRate = Annotated[
    float | None,
    typer.Option(
        "--lr",
        metavar="X",
        help="Learning rate of the network's weights.",
        rich_help_panel=_TRAINING,
    ),
]
CheckEpochs = Annotated[
    int | None,
    typer.Option(
        "--check-epochs",
        metavar="N",
        help="Epochs for which the choice, and a uniform draw beside it, are trained at the end; "
        "0 for none.",
        rich_help_panel=_TRAINING,
    ),
]
Draws = Annotated[
    int | None,
    typer.Option(
        "--draws",
        metavar="K",
        help="Architectures drawn for the selector.",
        rich_help_panel=_TRAINING,
    ),
]
MaxParams = Annotated[
    float | None,
    typer.Option(
        "--max-params",
        metavar="N",
        help="Largest number of parameters of a choice.",
        rich_help_panel=_TRAINING,
    ),
]
MaxFlops = Annotated[
    float | None,
    typer.Option(
        "--max-flops",
        metavar="N",
        help="Largest number of multiply-adds for one image of a choice.",
        rich_help_panel=_TRAINING,
    ),
]
MaxLatency = Annotated[
    float | None,
    typer.Option(
        "--max-latency",
        metavar="MS",
        help="Largest latency of a choice in milliseconds, from the space's benchmark; measured "
        "here with --set selector.latency=measured.",
        rich_help_panel=_TRAINING,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", metavar="N", help="Seed.", rich_help_panel=_TRAINING),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help="auto, cpu, cuda, cuda:1 or mps.",
        rich_help_panel=_MACHINE,
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        metavar="TYPE",
        help="float32, float64 or bfloat16.",
        rich_help_panel=_MACHINE,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", metavar="N", help="CPU threads.", rich_help_panel=_MACHINE),
]
Executor = Annotated[
    str | None,
    typer.Option(
        "--executor",
        metavar="NAME",
        help="Where independent candidates are scored, trained and measured; its options by --set, "
        "such as executor.address=HOST:PORT.",
        autocompletion=complete("executor"),
        rich_help_panel=_MACHINE,
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        metavar="N",
        min=1,
        max=4096,
        help="Workers of the executor; more than one without --executor are processes of this "
        "machine (joblib).",
        rich_help_panel=_MACHINE,
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        metavar="DIRECTORY",
        help="Run directory; runs/<date>-<time>-<space>-<optimizer>-seed<seed> by default.",
        rich_help_panel=_CONFIG,
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        help="Named combination that the rest builds on.",
        autocompletion=complete("preset"),
        rich_help_panel=_CONFIG,
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any key of the configuration, such as optimizer.lr=3e-4. May be repeated.",
        rich_help_panel=_CONFIG,
    ),
]
PluginFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        metavar="FILE",
        help="Python file, or project, whose plugins can be used though they are not installed. "
        "May be repeated.",
        rich_help_panel=_PLUGINS,
    ),
]
ResumeHow = Annotated[
    str,
    typer.Option(
        "--resume",
        metavar="never|allow|must",
        help="Where --output holds a run: refuse it, go on with it, or insist on one.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the complete configuration and stop.")
]

KEY_OF_FLAG = {
    "space": "space",
    "optimizer": "optimizer",
    "distribution": "distribution",
    "selector": "selector",
    "data": "data",
    "data_root": "data.root",
    "tracker": "trackers",
    "epochs": "training.epochs",
    "batch_size": "training.batch_size",
    "lr": "training.lr",
    "check_epochs": "check_epochs",
    "draws": "selector.draws",
    "max_params": "selector.max_params",
    "max_flops": "selector.max_flops",
    "max_latency": "selector.max_latency",
    "seed": "seed",
    "device": "device",
    "precision": "precision",
    "threads": "threads",
    "executor": "executor",
    "output": "output",
}
"""Parameter of a command -> key of the configuration."""
