"""The result of a run that is done, read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from balenas_core._output_errors import output_errors
from balenas_core.benchmark import BenchmarkEntry
from balenas_core.config import SearchConfig
from balenas_core.errors import OutputError
from balenas_core.registry import Registry
from balenas_core.result import SearchResult
from balenas_core.run import METRICS, RESULT
from balenas_core.selection import Candidate, Selection, Stage
from balenas_core.space import AnySpace


def read_result(run: Path, config: SearchConfig, registry: Registry) -> SearchResult:
    """Return what a search found, from its directory.

    Args:
        run: The directory.
        config: Its configuration; names the search space.
        registry: Where the search space is looked up.

    Raises:
        OutputError: A file cannot be read, or is damaged.
    """
    space: AnySpace = registry.find("space", config.space.name).build(config.space.options)
    try:
        with output_errors(run / RESULT, verb="read"):
            data = json.loads((run / RESULT).read_text(encoding="utf-8"))
            lines = (run / METRICS).read_text(encoding="utf-8").splitlines()
        return SearchResult(
            selection=_selection(data, space),
            validation_accuracy=data["validation_accuracy"],
            benchmark=tuple(_entry(row) for row in data["benchmark"]),
            metrics=tuple(json.loads(line) for line in lines),
            seconds=data["seconds"],
            run=run,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise OutputError(
            f"{run / RESULT} is damaged ({type(error).__name__}: {error}). Remove it and "
            f"status.json; 'balenas resume {run}' then makes it anew."
        ) from error


def _selection(data: dict[str, Any], space: AnySpace) -> Selection:
    return Selection(
        tuple(_candidate(row, space) for row in data["candidates"]),
        keep=len(data.get("kept", [None])),
        stages=tuple(
            Stage(**{**row, "survivors": tuple(map(space.parse, row["survivors"]))})
            for row in data.get("stages", ())
        ),
    )


def _candidate(row: dict[str, Any], space: AnySpace) -> Candidate:
    scores = {
        # JSON has no infinity; a proxy that failed on a candidate scores minus infinity.
        name: -float("inf") if score is None else score
        for name, score in row["scores"].items()
    }
    return Candidate(
        space.parse(row["architecture"]),
        row["rank"],
        scores,
        row["is_argmax"],
        row["draws"],
        row.get("costs", {}),
    )


def _entry(row: dict[str, Any]) -> BenchmarkEntry:
    return BenchmarkEntry(**{name: value for name, value in row.items() if name != "regret"})
