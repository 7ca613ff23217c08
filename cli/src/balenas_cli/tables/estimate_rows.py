"""What a search will take, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from balenas_cli.tables.run_rows import duration_text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from balenas_core.engine.estimating import Estimate


def table_of(found: Estimate) -> RenderableType:
    """Return the estimate for a terminal."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    for name, value in _rows(found):
        grid.add_row(Text(name, style="bold"), Text(value, overflow="fold"))
    return grid


def _rows(found: Estimate) -> list[tuple[str, str]]:
    rows = [
        (
            "devices",
            f"{found.devices}, {found.images} images of a step on each",
        ),
        (
            "weights",
            f"{found.parameters:,} parameters, {_size(found.state_bytes)} with gradients and "
            f"momentum, on each device",
        ),
    ]
    if found.epochs:
        rows += [
            ("activations", f"{_size(found.activation_bytes)} kept by a forward pass"),
            ("step", f"{_number(found.flops)}FLOP, {_seconds(found.step_seconds)}"),
        ]
    if found.peak_bytes is not None:
        rows.append(("peak memory", f"{_size(found.peak_bytes)} of a process, in these steps"))
    if found.devices > 1 and found.epochs:
        rows.append(
            (
                "traffic",
                f"{_size(found.traffic_bytes)} a step and device, "
                f"{_seconds(found.exchange_seconds)}",
            )
        )
    if found.prior is not None:
        rows.append(
            (
                "prior",
                f"at most {found.prior.candidates:,} x {_seconds(found.prior.seconds_each)}: "
                f"{duration_text(found.prior.seconds)} on every device",
            )
        )
    if found.epochs:
        rows.append(
            (
                "search",
                f"{found.epochs} epochs, {found.steps:,} steps, "
                f"{duration_text(found.search_seconds)}; of these, "
                f"{duration_text(found.epochs * found.evaluation_seconds)} of evaluation",
            )
        )
    rows += [
        (
            stage.name,
            f"{stage.candidates:,} x {_seconds(stage.seconds_each)}: "
            f"{duration_text(stage.seconds)} on one device",
        )
        for stage in found.stages
    ]
    return [*rows, ("in all", duration_text(found.seconds))]


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.3g} {unit}" if count < 100 else f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:,.1f} TiB"


def _number(count: float) -> str:
    for unit in ("", "k", "M", "G", "T"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} P"


def _seconds(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
