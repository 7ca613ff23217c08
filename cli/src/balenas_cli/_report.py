"""What a search shows when it is done, on stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from balenas_cli._console import table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from balenas_core.result import SearchResult

_CANDIDATES = 10


def report(result: SearchResult) -> RenderableType:
    """Return the cells, candidates, accuracies and timings."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    cells = "\n\n".join(cell.to_text() for cell in result.architecture.cells())
    parts: list[RenderableType] = [
        Panel.fit(Text(cells, no_wrap=True), title="chosen architecture", padding=(1, 2)),
        Text(str(result.architecture), overflow="fold"),
        Text(),
        *_candidates(result),
        *_benchmark(result),
        _facts(result),
    ]
    return Group(*parts)


def _candidates(result: SearchResult) -> list[RenderableType]:
    from rich.text import Text

    candidates = result.selection.candidates
    if len(candidates) == 1:
        return []
    proxies = list(candidates[0].scores)
    shown = min(_CANDIDATES, len(candidates))
    listing = table(
        "rank",
        *proxies,
        "draws",
        "",
        title=f"candidates, best {shown} of {len(candidates)}",
        right=("rank", "draws", *proxies),
    )
    # One line each: what does not fit on the terminal is cut, a pipe gets all of it.
    listing.add_column("architecture", no_wrap=True, overflow="ellipsis")
    for candidate in candidates[:shown]:
        listing.add_row(
            str(candidate.rank),
            *(f"{candidate.scores[name]:.6g}" for name in proxies),
            str(candidate.draws),
            "argmax" if candidate.is_argmax else "",
            str(candidate.architecture),
            style="bold" if candidate.rank == 1 else None,
        )
    return [listing, Text()]


def _benchmark(result: SearchResult) -> list[RenderableType]:
    from rich.text import Text

    if not result.benchmark:
        return []
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
    return [listing, Text()]


def _facts(result: SearchResult) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    facts = {}
    if result.validation_accuracy is not None:
        facts["validation accuracy"] = (
            f"{result.validation_accuracy:.2f} % with the weights it inherits from the supernet"
        )
    facts["time"] = ", ".join(f"{phase} {s:.1f} s" for phase, s in result.seconds.items())
    if result.run is not None:
        facts["run"] = str(result.run)
    grid = Table.grid(padding=(0, 2))
    for key, value in facts.items():
        grid.add_row(Text(key, style="bold"), Text(value, overflow="fold"))
    return grid
