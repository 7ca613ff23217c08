"""What a selection has computed so far, for one that goes on after a kill."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from balenas_core.files import append_to, open_in_place, output_errors, read_regular

Scores = Mapping[str, float]


class ScoreLog:
    """A file with one line for every candidate that was scored.

    The first line names the checkpoint that the selection starts from: scores of another state
    are forgotten. A last line that was not finished is cut off. Lines are not pushed to the
    disk one by one, which would cost more than most scores; what a crash of the machine takes
    is computed again.

    Args:
        path: The file, made if there is none.
        checkpoint: Checksum of the checkpoint.

    Raises:
        OutputError: The file cannot be written, or is no regular one.
    """

    def __init__(self, path: Path, checkpoint: str) -> None:
        self._path = path
        self._known: dict[str, dict[str, float]] = {}
        self._seconds: dict[str, float] = {}
        self.reused_seconds = 0.0
        """What those scores of earlier processes took that were asked for."""
        with output_errors(path, verb="read"):
            lines = _lines(path)
        whole = _whole(lines, checkpoint)
        for line in whole[1:]:
            self._known[line["key"]] = {
                name: float(score) for name, score in line["scores"].items()
            }
            self._seconds[line["key"]] = line["seconds"]
        self._keep(sum(len(line) for line in lines[: len(whole)]), checkpoint)

    def remember(self, key: str, compute: Callable[[], Scores]) -> Scores:
        """Return ``compute()``, or what it returned for ``key`` before.

        Raises:
            OutputError: The file cannot be written.
        """
        found = self.known(key)
        if found is None:
            start = time.perf_counter()
            scores = {name: float(score) for name, score in compute().items()}
            self.add(key, scores, time.perf_counter() - start)
            return scores
        return found

    def known(self, key: str) -> Scores | None:
        """Return what is known of ``key``; None if nothing is."""
        if key not in self._known:
            return None
        self.reused_seconds += self._seconds.pop(key, 0.0)
        return dict(self._known[key])

    def add(self, key: str, scores: Scores, seconds: float) -> None:
        """Keep scores that took so long.

        Raises:
            OutputError: The file cannot be written.
        """
        kept = {name: float(score) for name, score in scores.items()}
        written = {name: _plain(score) for name, score in kept.items()}
        self._append({"key": key, "scores": written, "seconds": seconds})
        self._known[key] = kept

    def _keep(self, size: int, checkpoint: str) -> None:
        with output_errors(self._path):
            append_to(self._path, b"")  # there is a file from here on
            with open_in_place(self._path) as file:
                file.truncate(size)
        if size == 0:
            self._append({"checkpoint": checkpoint})

    def _append(self, record: Mapping[str, Any]) -> None:
        line = json.dumps(record, ensure_ascii=False) + "\n"
        with output_errors(self._path):
            append_to(self._path, line.encode())


def _plain(score: float) -> float | str:
    return score if math.isfinite(score) else str(score)  # JSON has no infinity


def _lines(path: Path) -> list[bytes]:
    from balenas_core.runs.stored import LARGEST

    try:
        data = read_regular(path, limit=LARGEST)
    except FileNotFoundError:
        return []
    return [line + b"\n" for line in data.split(b"\n")[:-1]]


def _whole(lines: list[bytes], checkpoint: str) -> list[dict[str, Any]]:
    """Return the records up to the first that is damaged; none if they are of another state."""
    from balenas_core.runs.stored import StoredScore, StoredScores, parsed

    records: list[dict[str, Any]] = []
    for line in lines:
        try:
            records.append(parsed(line, StoredScore if records else StoredScores))
        except ValueError:
            break
    return records if records and records[0]["checkpoint"] == checkpoint else []
