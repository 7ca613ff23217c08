"""What a search shows when it is done, on stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from balenas_cli.shell.console import cut_width, print_text, show, table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from balenas_core.interfaces.result import SearchResult

_CANDIDATES = 10
_HARDLY = 0.02
"""Share of the entropy of the weights that must be lost in a search that has learned."""

_MEANINGFUL = 0.5
"""Share of the supernet's accuracy from which on the inherited one is shown."""


def print_report(result: SearchResult) -> None:
    """Print the cells, the architecture, candidates, accuracies and timings."""
    from rich.panel import Panel
    from rich.text import Text

    cells = "\n\n".join(cell.to_text() for cell in result.architecture.cells())
    show(Panel.fit(Text(cells, no_wrap=True), title="chosen architecture", padding=(1, 2)))
    # The terminal itself wraps a long line, so that it can be copied in one piece.
    print_text(f"{result.architecture}\n\n")
    for listing in (_stages(result), _candidates(result), _benchmark(result)):
        if listing is not None:
            show(listing, width=cut_width())
            print_text("")
    show(_facts(result))


def _candidates(result: SearchResult) -> RenderableType | None:
    from rich.text import Text

    candidates = result.selection.candidates
    if len(candidates) == 1:
        return None
    proxies = list(candidates[0].scores)  # the best has the scores of every stage
    costs = list(candidates[0].costs)
    shown = min(_CANDIDATES, len(candidates))
    listing = table(
        "rank",
        *proxies,
        *costs,
        "draws",
        "",
        title=f"candidates, best {shown} of {len(candidates)}",
        right=("rank", "draws", *proxies, *costs),
    )
    # One line each: what does not fit is cut, also in a pipe; --json has all of it.
    listing.add_column("architecture")
    for candidate in candidates[:shown]:
        listing.add_row(
            str(candidate.rank),
            *(_number(candidate.scores.get(name)) for name in proxies),
            *(_number(candidate.costs.get(name)) for name in costs),
            str(candidate.draws),
            "argmax" if candidate.is_argmax else "",
            Text(str(candidate.architecture), no_wrap=True, overflow="ellipsis"),
            style="bold" if candidate.rank == 1 else None,
        )
    return listing


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _stages(result: SearchResult) -> RenderableType | None:
    if not result.selection.stages:
        return None
    counts = ("candidates", "survivors", "epochs", "seconds")
    listing = table("stage", *counts, title="selection", right=counts)
    for stage in result.selection.stages:
        listing.add_row(
            stage.name,
            str(stage.candidates),
            str(len(stage.survivors)),
            str(stage.epochs),
            f"{stage.seconds:.1f}",
        )
    return listing


def _benchmark(result: SearchResult) -> RenderableType | None:
    if not result.benchmark:
        return None
    listing = table(
        "data set",
        "metric",
        "value",
        "best",
        "regret",
        "rank",
        title="benchmark",
        right=("value", "best", "regret", "rank"),
    )
    for entry in result.benchmark:
        listing.add_row(
            entry.dataset,
            entry.metric,
            f"{entry.value:.2f}",
            f"{entry.best:.2f}",
            f"{entry.regret:.2f}",
            f"{entry.rank:,} of {entry.total:,}",
        )
    return listing


def _has_hardly_moved(result: SearchResult) -> bool:
    """Whether the entropy of the weights is after the last epoch what it was after the first."""
    found = [record.get("weights_entropy") for record in result.metrics]
    if len(found) < 2 or found[0] is None or found[-1] is None:
        return False
    first, last = float(found[0]), float(found[-1])
    return abs(last - first) < _HARDLY * first


def _is_inherited_accuracy_meaningful(result: SearchResult) -> bool:
    """Whether the supernet's weights say something of one architecture alone.

    Weights that were trained at the mean of a distribution do not: alone, every architecture
    guesses, and the number would read like a failure of the search.
    """
    supernet = _supernet_accuracy(result)
    if result.validation_accuracy is None or supernet is None:
        return False
    return result.validation_accuracy >= _MEANINGFUL * supernet


def _supernet_accuracy(result: SearchResult) -> float | None:
    found = result.metrics[-1].get("validation_accuracy") if result.metrics else None
    return float(found) if isinstance(found, int | float) else None


def _facts(result: SearchResult) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    facts = {}
    supernet = _supernet_accuracy(result)
    if supernet is not None:
        facts["supernet"] = f"{supernet:.2f} % validation accuracy at the mean of the distribution"
    if _has_hardly_moved(result):
        facts["learned"] = (
            "little: the distribution is nearly where it began, and the choice is the selector's; "
            "more epochs or images let it learn"
        )
    if result.check is not None:
        epochs = "1 epoch" if result.check.epochs == 1 else f"{result.check.epochs} epochs"
        facts["chosen alone"] = (
            f"{result.check.accuracy:.2f} % validation accuracy after {epochs} of its own; "
            f"a uniform draw {result.check.control_accuracy:.2f} %"
        )
    if _is_inherited_accuracy_meaningful(result):
        facts["inherited"] = (
            f"{result.validation_accuracy:.2f} % validation accuracy of the choice with the "
            "supernet's weights"
        )
    facts["time"] = ", ".join(f"{phase} {s:.1f} s" for phase, s in result.seconds.items())
    if result.run is not None:
        facts["run"] = str(result.run)
    grid = Table.grid(padding=(0, 2))
    for key, value in facts.items():
        grid.add_row(Text(key, style="bold"), Text(value, overflow="fold"))
    return grid
