"""``balenas score``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from balenas_cli.shell.complete import complete
from balenas_cli.shell.options import Executor, Jobs, Json, PluginFiles, Threads

if TYPE_CHECKING:
    from collections.abc import Sequence

_WHAT = "Architectures"
_MOST = 2_000_000  # of architectures, images, classes, ...: more fit into no memory
_HOW = "Networks and images"
_WORK = "Work"


def score(
    architectures: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ARCH]...", help="Architectures in their space's text form."),
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(
            "--space",
            "-s",
            metavar="NAME",
            help="Search space.",
            autocompletion=complete("space"),
            show_default=False,
        ),
    ] = None,
    plugin: PluginFiles = None,
    proxy: Annotated[
        str | None,
        typer.Option(
            "--proxy",
            "-p",
            metavar="A,B",
            help="Proxies, separated by commas.",
            autocompletion=complete("proxy"),
            show_default=False,
        ),
    ] = None,
    random: Annotated[
        int | None,
        typer.Option(
            "--random",
            metavar="N",
            min=1,
            max=_MOST,
            help="N different architectures drawn by --seed.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            metavar="FILE",
            help="A file with one architecture a line; - for stdin.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="The whole space.", rich_help_panel=_WHAT)
    ] = False,
    dedupe: Annotated[
        bool | None,
        typer.Option(
            "--dedupe/--exact",
            help="Score each class of architectures that compute the same once, in its canonical "
            "form; or each network as it is written. By default, --random and --all dedupe, unless "
            "with --init formula.",
            rich_help_panel=_WHAT,
            show_default=False,
        ),
    ] = None,
    init: Annotated[
        str,
        typer.Option(
            "--init",
            metavar="WAY",
            help="default: as the space initialises, by --seed; supernet: one supernet's fresh "
            "weights for all, as --together needs; formula: weights by an integer hash, the same "
            "everywhere, to compare with other implementations.",
            rich_help_panel=_HOW,
        ),
    ] = "default",
    seed: Annotated[
        int,
        typer.Option(
            "--seed", metavar="N", min=0, max=2**63 - 1, help="Seed.", rich_help_panel=_HOW
        ),
    ] = 0,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="NAME",
            help="Dataset, or 'formula' for images by the hash. Default: digits; formula with "
            "--init formula.",
            autocompletion=complete("dataset"),
            rich_help_panel=_HOW,
            show_default=False,
        ),
    ] = None,
    data_root: Annotated[
        str | None,
        typer.Option(
            "--data-root",
            metavar="PATH",
            help="File or folder of the dataset.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    batch_size: Annotated[
        int,
        typer.Option(
            "--batch-size",
            metavar="N",
            min=1,
            max=_MOST,
            help="Images in the batch.",
            rich_help_panel=_HOW,
        ),
    ] = 64,
    shrink: Annotated[
        int,
        typer.Option(
            "--shrink",
            metavar="N",
            min=1,
            max=_MOST,
            help="Average blocks of NxN pixels: smaller images, faster scores.",
            rich_help_panel=_HOW,
        ),
    ] = 1,
    batches: Annotated[
        int | None,
        typer.Option(
            "--batches",
            metavar="N",
            min=1,
            max=_MOST,
            help="Batches of images by formula put together, such as zico's two; 1 by default.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    input_shape: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="CxHxW",
            help="Shape of images by formula; 3x32x32 by default.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    classes: Annotated[
        int | None,
        typer.Option(
            "--classes",
            metavar="N",
            min=1,
            max=_MOST,
            help="Classes of images by formula; 10 by default.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            "--dtype",
            metavar="TYPE",
            help="float32 or float64. Default: float32; float64 with --init formula.",
            rich_help_panel=_HOW,
            show_default=False,
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="An option of the space, the data or a proxy, such as space.channels=16 or "
            "synflow.log=true. May be repeated.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            "--device",
            metavar="NAME",
            help="auto, cpu, cuda, cuda:1 or mps; auto takes a GPU if there is one.",
            rich_help_panel=_WORK,
        ),
    ] = "auto",
    together: Annotated[
        int,
        typer.Option(
            "--together",
            metavar="N",
            min=1,
            max=_MOST,
            help="Networks run as one program, with --init supernet, where the space can.",
            rich_help_panel=_WORK,
        ),
    ] = 1,
    executor: Executor = None,
    jobs: Jobs = None,
    threads: Threads = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help="Write .csv, .json or .parquet; what the file has already is not scored again.",
            rich_help_panel=_WORK,
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show no progress.", rich_help_panel=_WORK)
    ] = False,
    json: Json = False,
) -> None:
    """Score architectures by training-free proxies.

    Larger is better. The scores of an architecture depend neither on the others nor on the
    executor and its --jobs.
    """
    import contextlib
    import sys

    from balenas_cli.plans.resolve import add_plugins
    from balenas_cli.plans.score_plan import plan

    with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints is no result
        add_plugins(plugin)
        planned = plan(
            architectures or [],
            space=space,
            proxies=proxy,
            random=random,
            file=file,
            every=all_,
            dedupe=dedupe,
            init=init,
            seed=seed,
            data=data,
            data_root=data_root,
            batch_size=batch_size,
            batches=batches,
            shrink=shrink,
            input_shape=input_shape,
            classes=classes,
            dtype=dtype,
            device=device,
            together=together,
            executor=executor,
            jobs=jobs,
            settings=set_ or [],
        )
        from balenas_cli.jobs.score_run import run
        from balenas_cli.shell.alone import check_is_alone

        check_is_alone("'balenas score'")

        rows = run(planned, threads=threads, output=output, quiet=quiet or json)
    _print(rows, list(planned.job.proxies), output=output, json=json)


def _print(
    rows: Sequence[dict[str, Any]], proxies: list[str], *, output: Path | None, json: bool
) -> None:
    from balenas_cli.shell.console import print_json, show, stderr, table
    from balenas_core.runs.directory import finite

    if json:
        print_json(finite(list(rows)))
    elif output is not None:
        stderr().print(f"{output} has {len(rows):,} architectures", soft_wrap=True)
    else:
        listing = table(*proxies, "architecture", right=tuple(proxies))
        for row in rows:
            listing.add_row(*(f"{row[name]:.8g}" for name in proxies), row["architecture"])
        show(listing)
