"""``balenas export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from balenas_cli.shell.complete import complete
from balenas_cli.shell.options import Json, PluginFiles, Space
from balenas_cli.shell.run_names import complete_run

if TYPE_CHECKING:
    from balenas_cli.jobs.export_run import Written

_ARCHITECTURE = "Architecture"


def export(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN|FILE|ARCH",
            help="Run directory, or its name in runs/; or a safetensors file of 'balenas train'; "
            "or an architecture in its space's text form, with --space.",
            autocompletion=complete_run,
            show_default=False,
        ),
    ],
    format: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            metavar="NAME",
            help="How it is written, such as onnx; 'balenas plugins list --kind format' lists all.",
            autocompletion=complete("format"),
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="Folder for the network and its model card, or a file with the format's suffix "
            "(such as .onnx) for the network alone; RUN/export/FORMAT by default.",
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            metavar="FILE",
            help="Safetensors file with its weights; by default those of the run's training.",
        ),
    ] = None,
    inherited: Annotated[
        bool,
        typer.Option("--inherited", help="Take the weights of the run's supernet."),
    ] = False,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            metavar="N",
            help="Of several trainings of a run, take that of this seed; by default RUN/training, "
            "or the best of those that 'balenas train RUN --seeds' has made.",
        ),
    ] = None,
    with_normalization: Annotated[
        bool,
        typer.Option(
            "--with-normalization",
            help="Let the graph take pixels in 0..1 and normalise them itself.",
        ),
    ] = False,
    opset: Annotated[
        int | None,
        typer.Option("--opset", metavar="N", help="Version of ONNX's operators."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace files of the same names.")
    ] = False,
    plugin: PluginFiles = None,
    space: Space = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="An option of the space, such as channels=16; by default the network has the "
            "size in which the space's paper trains. May be repeated.",
            rich_help_panel=_ARCHITECTURE,
        ),
    ] = None,
    input_shape: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="CxHxW",
            help="Shape of an image; 3x32x32 by default.",
            rich_help_panel=_ARCHITECTURE,
        ),
    ] = None,
    classes: Annotated[
        int | None,
        typer.Option(
            "--classes",
            metavar="N",
            min=1,
            help="Classes; 10 by default.",
            rich_help_panel=_ARCHITECTURE,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Write a found network in a format that other programs read, and check what was written.

    Of a run, it is the chosen architecture with the weights of 'balenas train RUN', or, if there
    are none, fresh ones. What is written is read again and compared with PyTorch on random
    images before it is put in its place. The batch is of any size.
    """
    from balenas_cli.jobs.export_run import write
    from balenas_cli.plans.resolve import add_plugins
    from balenas_cli.shell.console import print_json, stderr

    add_plugins(plugin)
    written = write(
        target,
        format,
        output,
        weights=weights,
        is_inherited=inherited,
        seed=seed,
        with_normalization=with_normalization,
        opset=opset,
        force=force,
        architecture={
            "--space": space,
            "--set": set_ or None,
            "--input": input_shape,
            "--classes": classes,
        },
    )
    for warning in written.source.warnings:
        stderr().print(f"warning: {warning}", soft_wrap=True)
    if json:
        print_json(written.to_dict())
    else:
        _print(written)


def _print(written: Written) -> None:
    from balenas_cli.shell.console import print_text, show, table

    exported = written.exported
    print_text(f"wrote {exported.path}\n")
    listing = table("file", "bytes", right=("bytes",))
    for name, size in exported.files.items():
        listing.add_row(name, f"{size:,}")
    show(listing)
    rows = {
        "weights": written.source.weights,
        **{name: str(value) for name, value in exported.facts.items()},
        "difference": f"{exported.max_difference:.1e} from PyTorch's logits, on random images",
    }
    print_text("")
    for name, value in rows.items():
        print_text(f"{name:<10}  {value}")
