"""What finished runs have written, and where it is kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .runs import SEARCH, SELECTION

STORED = Path(__file__).parents[1] / "results" / "arena"
"""A file for each setting, with one line for each search and each selection."""

FIRST_TUNING_SEED = 100
"""What is tuned is tuned on seeds from here on; what is reported has smaller ones."""

Record = Mapping[str, Any]
Records = Mapping[int, Record]
"""Seed -> record."""


@dataclass(frozen=True)
class Results:
    """Every finished run of a setting.

    Args:
        searches: Records by label and seed.
        selections: Records by (label, selection) and seed.
    """

    searches: Mapping[str, Records]
    selections: Mapping[tuple[str, str], Records]

    @classmethod
    def of(cls, records: Iterable[Record], *, is_tuning: bool = False) -> Results:
        """Sort records, of the reported or of the tuning seeds."""
        searches: dict[str, dict[int, Any]] = {}
        selections: dict[tuple[str, str], dict[int, Any]] = {}
        for record in records:
            label, seed = record["label"], record["seed"]
            if (seed >= FIRST_TUNING_SEED) != is_tuning:
                continue
            if "selection" in record:
                selections.setdefault((label, record["selection"]), {})[seed] = record
            else:
                searches.setdefault(label, {})[seed] = record
        return cls(searches, selections)


def finished(folder: Path) -> list[Record]:
    """Return the records of the runs in a setting's folder."""
    return [
        json.loads(file.read_text())
        for path in sorted(folder.glob(f"*/{SEARCH}"))
        for file in (path, *sorted(path.parent.glob(SELECTION.format("*"))))
    ]


def stored(path: Path) -> list[Record]:
    """Return the records of a file; none where there is no file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def store(path: Path, records: Iterable[Record]) -> list[Record]:
    """Add records to those of a file, where they replace earlier ones, and return all.

    Numbers keep five digits behind the point.
    """
    by_run = {_run_of(record): record for record in (*stored(path), *map(_rounded, records))}
    kept = [by_run[run] for run in sorted(by_run)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in kept))
    return kept


def _run_of(record: Record) -> tuple[str, int, str]:
    return record["label"], record["seed"], record.get("selection", "")


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 5)
    if isinstance(value, Mapping):
        return {name: _rounded(part) for name, part in value.items()}
    return [_rounded(part) for part in value] if isinstance(value, list) else value
