"""The result of a run that is done, read back."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from balenas_core.errors import ArchitectureError, DamagedError
from balenas_core.files import read_regular
from balenas_core.interfaces.architecture import Architecture, Cell
from balenas_core.interfaces.benchmark import BenchmarkEntry
from balenas_core.interfaces.result import Check, SearchResult
from balenas_core.interfaces.selection import Candidate, Selection, Stage
from balenas_core.runs.directory import METRICS, RESULT, STATUS, RunDirectory
from balenas_core.runs.epoch_log import records
from balenas_core.runs.stored import LARGEST, StoredResult, StoredSelection, read_stored

_log = logging.getLogger(__name__)

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
        DamagedError: A file cannot be read, or is damaged.
    """
    path, remedy = run / name, _REMEDY[name == RESULT].format(run=run)
    try:
        data = read_stored(path, StoredResult if name == RESULT else StoredSelection, remedy)
        selection = _selection(data, parse or _stored(data))
        check = _check(data.get("check"), parse or _stored(data))
    except FileNotFoundError as error:
        raise DamagedError(f"{path} is missing. {remedy}") from error
    except ArchitectureError as error:
        raise DamagedError(f"{path} is damaged: {error}. {remedy}") from error
    return SearchResult(
        selection=selection,
        validation_accuracy=data["validation_accuracy"],
        benchmark=tuple(_entry(row) for row in data["benchmark"]),
        metrics=tuple(_metrics(run)),
        seconds=data["seconds"],
        run=run,
        check=check,
    )


_REMEDY = {
    True: "Remove it and status.json; 'balenas resume {run}' then makes it anew.",
    False: "Remove it; 'balenas select' then makes it anew.",
}


def _metrics(run: Path) -> list[dict[str, Any]]:
    """Return the record of every epoch, if need be as the newest checkpoint holds them."""
    path = run / METRICS
    try:
        return records(read_regular(path, limit=LARGEST))
    except (ValueError, OSError, DamagedError) as error:
        told = f"{path} is damaged: {getattr(error, 'strerror', None) or error}"
        checkpoint = RunDirectory(run).read_checkpoint()
        again = f"Remove {run / STATUS}; 'balenas resume {run}' then writes it anew."
        if checkpoint is None:
            raise DamagedError(
                f"{told}, and no checkpoint is left that holds its lines."
            ) from error
        _log.warning("%s; its lines are taken from the checkpoint. %s", told, again)
        return records(checkpoint.state["logs"]["metrics"].encode())


def _stored(data: dict[str, Any]) -> Parse:
    """Return a reader of text forms that knows the cells of the chosen architecture alone."""
    graphs = {data["architecture"]: tuple(map(Cell.from_dict, data.get("cells", ())))}
    return lambda text: StoredArchitecture(text, graphs.get(text, ()))


def _selection(data: dict[str, Any], parse: Parse) -> Selection:
    return Selection(
        tuple(_candidate(row, parse) for row in data["candidates"]),
        keep=len(data.get("kept", [None])),
        stages=tuple(_stage(row, parse) for row in data.get("stages", ())),
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
        row.get("failure"),
    )


def _check(row: dict[str, Any] | None, parse: Parse) -> Check | None:
    if row is None:
        return None
    accuracies = row["accuracy"], row["control_accuracy"]
    return Check(row["epochs"], accuracies[0], parse(row["control"]), accuracies[1])


def _stage(row: dict[str, Any], parse: Parse) -> Stage:
    survivors = tuple(map(parse, row["survivors"]))
    return Stage(row["name"], row["candidates"], survivors, row["epochs"], row["seconds"])


def _entry(row: dict[str, Any]) -> BenchmarkEntry:
    # What was not measured is null there.
    value, best = (math.nan if row[name] is None else row[name] for name in ("value", "best"))
    is_cost = row.get("is_cost", False)
    return BenchmarkEntry(
        row["dataset"], row["metric"], value, best, row["rank"], row["total"], is_cost
    )
