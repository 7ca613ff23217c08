"""Scoring for ``balenas score``: progress, failures and the file."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from balenas_cli.plans.score_plan import Plan
from balenas_cli.shell.console import stderr
from balenas_core.engine.device import cpu_threads, default_threads
from balenas_core.errors import SelectionError
from balenas_core.scores import ScoredRow, ScoreFile, score_all

if TYPE_CHECKING:
    from rich.console import Console

_EVERY_SECONDS = 10.0


class _Advance(Protocol):
    def __call__(self, done: int) -> None: ...


def run(
    plan: Plan, *, threads: int | None, output: Path | None, quiet: bool
) -> list[dict[str, Any]]:
    """Score what is not in the file yet, and return all rows that were asked for or are in it.

    Raises:
        UsageError: The file has other columns or settings, or a package is missing.
        OutputError: The file cannot be written.
        SelectionError: Every proxy failed on every architecture.
    """
    proxies = list(plan.job.proxies)
    file = None if output is None else ScoreFile(output, proxies, plan.settings)
    there = file.architectures if file is not None else set()
    missing = [a for a in plan.architectures if str(a) not in there]
    failures = _Failures(proxies)
    rows: list[dict[str, Any]] = []
    try:
        with (
            cpu_threads(threads or default_threads(plan.job.task.input_shape)),
            _progress(stderr(), len(missing), quiet=quiet) as advance,
        ):
            scored = score_all(
                plan.job,
                missing,
                executor=plan.executor,
                dedupe=plan.dedupe,
                known=file.known() if file is not None else None,
            )
            for done, row in enumerate(scored, start=1):
                failures.add(row)
                if file is not None:
                    file.append(row.architecture, row.scored_as, row.scores)
                rows.append(
                    {
                        "architecture": row.architecture,
                        **row.scores,
                        "scored_as": row.scored_as,
                    }
                )
                advance(done)
    finally:
        plan.executor.close()
        if file is not None:
            file.close()
    failures.report()
    return rows if file is None else file.rows


class _Failures:
    """Counts what failed; the first cause of each proxy is shown at once."""

    def __init__(self, proxies: list[str]) -> None:
        self._counts = dict.fromkeys(proxies, 0)
        self._causes: dict[str, str] = {}
        self._finite = dict.fromkeys(proxies, 0)
        self._rows = self._without_score = 0

    def add(self, row: ScoredRow) -> None:
        """Take note of one row."""
        self._rows += 1
        self._without_score += len(row.errors) == len(row.scores)
        for name, score in row.scores.items():
            self._finite[name] += math.isfinite(score)
        for name, cause in row.errors.items():
            self._counts[name] += 1
            if name not in self._causes:
                self._causes[name] = cause
                stderr().print(
                    f"proxy {name!r} failed on {row.architecture}: {cause}", soft_wrap=True
                )

    def report(self) -> None:
        """Say how often each failed.

        Raises:
            SelectionError: Nothing has a score.
        """
        for name, count in self._counts.items():
            if count > 1:
                stderr().print(f"proxy {name!r} failed on {count} of {self._rows} architectures")
        if self._rows and self._without_score == self._rows:
            causes = "; ".join(f"{name!r} with {cause}" for name, cause in self._causes.items())
            raise SelectionError(f"no architecture has a score: {causes}. Choose other proxies.")
        for name, count in self._finite.items():
            if self._rows and not count and name not in self._causes:
                stderr().print(f"proxy {name!r} gives no architecture a finite score")


@contextmanager
def _progress(console: Console, total: int, *, quiet: bool) -> Iterator[_Advance]:
    if quiet or total == 0:
        yield lambda done: None
    elif not console.is_terminal or console.is_dumb_terminal:
        yield _lines(console, total)
    else:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("scoring"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bars:
            task = bars.add_task("scoring", total=total)
            yield lambda done: bars.update(task, completed=done)


def _lines(console: Console, total: int) -> _Advance:
    """Return what writes a plain line now and then, for files and pipes."""
    start = last = time.monotonic()

    def advance(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done == total or now - last > _EVERY_SECONDS:
            last = now
            rate = done / max(now - start, 1e-9)
            console.print(f"scored {done:,} of {total:,} ({rate:.3g} a second)", soft_wrap=True)

    return advance
