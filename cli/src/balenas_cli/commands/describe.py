"""``balenas describe``: an architecture as text, as an image, and as a table of layers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from balenas_cli.shell.complete import complete
from balenas_cli.shell.options import Json

if TYPE_CHECKING:
    from balenas_core.scores.description import NetworkDescription


def describe(
    architecture: Annotated[
        str, typer.Argument(metavar="ARCH", help="An architecture in its space's text form.")
    ],
    space: Annotated[
        str,
        typer.Option(
            "--space", "-s", metavar="NAME", help="Search space.", autocompletion=complete("space")
        ),
    ],
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="An option of the space, such as channels=16. May be repeated.",
        ),
    ] = None,
    input_shape: Annotated[
        str, typer.Option("--input", metavar="CxHxW", help="Shape of an image.")
    ] = "3x32x32",
    classes: Annotated[
        int, typer.Option("--classes", metavar="N", min=1, max=2_000_000, help="Classes.")
    ] = 10,
    svg: Annotated[
        Path | None,
        typer.Option("--svg", metavar="FILE", help="Draw the cells there; - for stdout."),
    ] = None,
    json: Json = False,
) -> None:
    """Draw an architecture and count its parameters and multiply-adds, layer by layer.

    The network is the one that the space builds to be trained alone. A multiply-add (MAC) counts
    once, as in most papers, also where they call it FLOP; activations, normalisations, pooling
    and additions are not counted.
    """
    from balenas_cli.plans.described import build, to_dict, write_svg
    from balenas_cli.shell.console import print_json, print_text, stderr

    found = build(architecture, space, set_ or (), shape=input_shape, classes=classes)
    if svg is not None:
        from balenas_core.drawing import draw_architecture

        image = draw_architecture(found.architecture, is_file=True)
        if str(svg) == "-":
            print_text(image)
            return
        write_svg(svg, image)
        stderr().print(f"wrote {svg}", soft_wrap=True)
    if json:
        print_json(to_dict(found))
        return
    for cell in found.architecture.cells():
        print_text(f"{cell.to_text()}\n\n")
    if found.canonical != found.architecture:
        print_text(f"computes the same as {found.canonical}\n\n")
    _print_layers(found.network)


def _print_layers(network: NetworkDescription) -> None:
    from rich.text import Text

    from balenas_cli.shell.console import print_text, show, table

    listing = table("layer", "type", "output", "parameters", "MACs", right=("parameters", "MACs"))
    shown = [layer for layer in network.layers if layer.parameters or layer.multiply_adds]
    for layer in shown:
        shape = "?" if layer.output_shape is None else "x".join(map(str, layer.output_shape))
        counts = f"{layer.parameters:,}", f"{layer.multiply_adds:,}"
        listing.add_row(Text(layer.name or "(network)"), layer.kind, shape, *counts)
    listing.add_row(
        "total", "", "", f"{network.parameters:,}", f"{network.multiply_adds:,}", style="bold"
    )
    show(listing)
    hidden = len(network.layers) - len(shown)
    if hidden:
        print_text(f"\nnot shown: layers without parameters and MACs ({hidden}); --json has them.")
