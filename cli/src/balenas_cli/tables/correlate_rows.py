"""From tables of scores and a benchmark to pairs of numbers that are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from balenas_cli.tables.bench_rows import AnyBenchmark, columns
from balenas_core.errors import UsageError
from balenas_core.files import output_errors
from balenas_core.interfaces.space import AnySpace
from balenas_core.plugins.suggest import did_you_mean
from balenas_core.scores import (
    ARCHITECTURE,
    SCORED_AS,
    SETTINGS,
    Aggregate,
    Agreement,
    agreement,
    combined,
    read_table,
)

Floats = NDArray[np.float64]

_FEWEST = 3


@dataclass(frozen=True, slots=True)
class Joined:
    """Scores of the architectures that every table has."""

    architectures: list[str]
    scores: Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One proxy against one metric on one dataset; more is better in ``values`` too.

    ``best`` is the best value of the whole benchmark; ``sign`` is -1 for a cost.
    """

    proxy: str
    dataset: str
    metric: str
    unit: str
    scores: Floats
    values: Floats
    best: float
    sign: int


def join(paths: Sequence[Path], proxies: str | None, aggregate: str) -> Joined:
    """Read tables, and combine columns where that is asked for.

    Raises:
        UsageError: A table cannot be read, two have the same column, or there is none of a name.
    """
    if aggregate not in get_args(Aggregate) or aggregate == "weighted":
        raise UsageError(f"--aggregate must be mean_rank or log_rank; got {aggregate!r}.")
    tables: dict[str, dict[str, float]] = {}
    for path in paths:
        with output_errors(path, verb="read"):
            if path.stat().st_size == 0:
                raise UsageError(f"{path} is empty; give a file that 'balenas score' wrote.")
            names, rows = read_table(path)
        if not rows:
            raise UsageError(f"{path} has no rows; give a file that 'balenas score' wrote.")
        for name in names:
            if name in (ARCHITECTURE, SCORED_AS, SETTINGS):
                continue
            if name in tables:
                raise UsageError(f"{path} has {name!r} again; give each proxy in one table only.")
            tables[name] = {row[ARCHITECTURE]: row[name] for row in rows}
    if not tables:
        raise UsageError("the tables have no scores; make some with 'balenas score --output FILE'.")
    first, *others = tables.values()
    common = [text for text in first if all(text in table for table in others)]
    scores = {n: np.array([table[text] for text in common]) for n, table in tables.items()}
    if len(common) < _FEWEST:
        raise UsageError(
            f"the tables have {len(common)} architectures in common; at least {_FEWEST} are needed."
        )
    wanted = list(scores) if proxies is None else [p.strip() for p in proxies.split(",")]
    way: Aggregate = "log_rank" if aggregate == "log_rank" else "mean_rank"
    return Joined(common, {name: _column(name, scores, way) for name in wanted})


def _column(name: str, scores: Mapping[str, Floats], aggregate: Aggregate) -> Floats:
    parts = [part.strip() for part in name.split("+")]
    for part in parts:
        if part not in scores:
            raise UsageError(
                f"--proxy: the tables have no column {part!r}.{did_you_mean(part, scores)} "
                f"Columns: {', '.join(scores)}."
            )
    if len(parts) == 1:
        return scores[parts[0]]
    return np.array(combined({part: scores[part].tolist() for part in parts}, aggregate))


def comparisons(
    space: AnySpace,
    benchmark: AnyBenchmark,
    joined: Joined,
    dataset: str | None,
    metric: str | None,
) -> list[Comparison]:
    """Look every architecture up, on every dataset.

    Raises:
        ArchitectureError: A table has what is no architecture of the space.
        DataError: There is no such dataset or metric.
        UsageError: Hardly anything was measured.
    """
    positions = benchmark.indices(space.parse(text) for text in joined.architectures)
    pairs: list[Comparison] = []
    for name, what in columns(benchmark, dataset, metric or benchmark.metrics[0]):
        sign = -1 if what in benchmark.cost_names else 1
        everything = sign * benchmark.values(name, what)
        values = everything[positions]
        measured = ~np.isnan(values)
        if np.sum(measured) < _FEWEST:
            raise UsageError(
                f"the benchmark has {what} on {name} of {int(np.sum(measured))} of these "
                f"architectures; at least {_FEWEST} are needed. Choose another --metric."
            )
        pairs += [
            Comparison(
                proxy=proxy,
                dataset=name,
                metric=what,
                unit=benchmark.unit(what),
                scores=scores[measured],
                values=values[measured],
                best=float(np.nanmax(everything)),
                sign=sign,
            )
            for proxy, scores in joined.scores.items()
        ]
    return pairs


def compare(pair: Comparison, *, resamples: int, seed: int) -> Agreement:
    """Return the agreement of one pair."""
    return agreement(pair.scores, pair.values, best=pair.best, resamples=resamples, seed=seed)
