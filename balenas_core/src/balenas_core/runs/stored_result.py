"""The result of a run that is done, read back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from balenas_core.errors import OutputError
from balenas_core.files import output_errors
from balenas_core.interfaces.architecture import Architecture, Cell
from balenas_core.interfaces.benchmark import BenchmarkEntry
from balenas_core.interfaces.result import Check, SearchResult
from balenas_core.interfaces.selection import Candidate, Selection, Stage
from balenas_core.runs.directory import METRICS, RESULT

Parse = Callable[[str], Architecture]


@dataclass(frozen=True, slots=True)
class StoredArchitecture(Architecture):
    """An architecture as a run directory keeps it, for those who lack its search space.

    Args:
        text: Its text form.
        graphs: Its cells, where they are kept.
    """

    text: str
    graphs: tuple[Cell, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        return self.text

    def cells(self) -> tuple[Cell, ...]:
        """Return the cells that are kept."""
        return self.graphs


def read_result(run: Path, *, parse: Parse | None = None, name: str = RESULT) -> SearchResult:
    """Return what a search found, from its directory.

    Args:
        run: The directory.
        parse: Makes an architecture from its text form; None for ``StoredArchitecture``, which
            needs no plugin.
        name: Which of the directory's results.

    Raises:
        OutputError: A file cannot be read, or is damaged.
    """
    try:
        with output_errors(run / name, verb="read"):
            data = json.loads((run / name).read_text(encoding="utf-8"))
            lines = (run / METRICS).read_text(encoding="utf-8").splitlines()
        return SearchResult(
            selection=_selection(data, parse or _stored(data)),
            validation_accuracy=data["validation_accuracy"],
            benchmark=tuple(_entry(row) for row in data["benchmark"]),
            metrics=tuple(json.loads(line) for line in lines),
            seconds=data["seconds"],
            run=run,
            check=_check(data.get("check"), parse or _stored(data)),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise OutputError(
            f"{run / name} is damaged ({type(error).__name__}: {error}). {_REMEDY[name == RESULT]}"
        ) from error


_REMEDY = {
    True: "Remove it and status.json; 'balenas resume' then makes it anew.",
    False: "Remove it; 'balenas select' then makes it anew.",
}


def _stored(data: dict[str, Any]) -> Parse:
    """Return a reader of text forms that knows the cells of the chosen architecture alone."""
    graphs = {data["architecture"]: tuple(map(Cell.from_dict, data["cells"]))}
    return lambda text: StoredArchitecture(text, graphs.get(text, ()))


def _selection(data: dict[str, Any], parse: Parse) -> Selection:
    return Selection(
        tuple(_candidate(row, parse) for row in data["candidates"]),
        keep=len(data.get("kept", [None])),
        stages=tuple(
            Stage(**{**row, "survivors": tuple(map(parse, row["survivors"]))})
            for row in data.get("stages", ())
        ),
    )


def _candidate(row: dict[str, Any], parse: Parse) -> Candidate:
    scores = {
        # JSON has no infinity; a proxy that failed on a candidate scores minus infinity.
        name: -float("inf") if score is None else score
        for name, score in row["scores"].items()
    }
    return Candidate(
        parse(row["architecture"]),
        row["rank"],
        scores,
        row["is_argmax"],
        row["draws"],
        row.get("costs", {}),
    )


def _check(row: dict[str, Any] | None, parse: Parse) -> Check | None:
    return None if row is None else Check(**{**row, "control": parse(row["control"])})


def _entry(row: dict[str, Any]) -> BenchmarkEntry:
    return BenchmarkEntry(**{name: value for name, value in row.items() if name != "regret"})
