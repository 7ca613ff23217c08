"""Reading what finished runs have written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .runs import SEARCH, SELECTION

FIRST_TUNING_SEED = 100
"""What is tuned is tuned on seeds from here on; what is reported has smaller ones."""

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
    def read(cls, folder: Path, *, is_tuning: bool = False) -> Results:
        """Read the results of a setting's folder, of the reported or of the tuning seeds."""
        searches: dict[str, dict[int, Any]] = {}
        selections: dict[tuple[str, str], dict[int, Any]] = {}
        for path in sorted(folder.glob(f"*/{SEARCH}")):
            record = json.loads(path.read_text())
            if (record["seed"] >= FIRST_TUNING_SEED) != is_tuning:
                continue
            searches.setdefault(record["label"], {})[record["seed"]] = record
            for chosen in sorted(path.parent.glob(SELECTION.format("*"))):
                found = json.loads(chosen.read_text())
                key = (found["label"], found["selection"])
                selections.setdefault(key, {})[found["seed"]] = found
        return cls(searches, selections)
