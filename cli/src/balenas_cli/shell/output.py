"""Names of run directories."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from itertools import count
from pathlib import Path

RUNS = Path("runs")


def default_output(space: str, optimizer: str, seed: int, now: datetime) -> Path:
    """Return ``runs/<date>-<time>-<space>-<optimizer>-seed<seed>``, numbered where it is taken.

    Example:
        >>> default_output("nb201", "ngvi", 0, datetime(2030, 1, 2, 3, 4, 5)).name
        '20300102-030405-nb201-ngvi-seed0'
    """
    # The long name of a plugin has a colon, which is no part of a file name on Windows.
    names = [re.sub(r"[^\w.-]+", "-", name) for name in (space, optimizer)]
    return free_path(RUNS / f"{now:%Y%m%d-%H%M%S}-{names[0]}-{names[1]}-seed{seed}")


def free_path(path: Path) -> Path:
    """Return ``path``, or the first of ``path-2``, ``path-3``, ... that does not exist."""
    return next(candidate for candidate in _numbered(path) if not candidate.exists())


def _numbered(path: Path) -> Iterator[Path]:
    yield path
    for number in count(2):
        yield path.with_name(f"{path.name}-{number}")
