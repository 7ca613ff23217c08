"""Reading what finished runs have written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .runs import SEARCH, SELECTION

Records = Mapping[int, Mapping[str, Any]]
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
    def read(cls, folder: Path) -> Results:
        """Read the results of a setting's folder."""
        searches: dict[str, dict[int, Any]] = {}
        selections: dict[tuple[str, str], dict[int, Any]] = {}
        for path in sorted(folder.glob(f"*/{SEARCH}")):
            record = json.loads(path.read_text())
            searches.setdefault(record["label"], {})[record["seed"]] = record
            for chosen in sorted(path.parent.glob(SELECTION.format("*"))):
                found = json.loads(chosen.read_text())
                key = (found["label"], found["selection"])
                selections.setdefault(key, {})[found["seed"]] = found
        return cls(searches, selections)
