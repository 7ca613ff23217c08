"""The lines that a run writes at the end of every epoch, and their safekeeping.

The checkpoint holds the content of both files for its whole epochs. So a run that goes on needs
nothing from the files themselves: it makes them what the checkpoint says.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balenas_core.errors import DamagedError
from balenas_core.files import (
    append_to,
    json_line,
    open_in_place,
    output_errors,
    write_atomically,
)
from balenas_core.runs.distribution_log import names_line, weights_line

if TYPE_CHECKING:
    from balenas_core.interfaces.space import Decision, Weights

_log = logging.getLogger(__name__)

METRICS, DISTRIBUTION = "metrics.jsonl", "distribution.jsonl"

Held = Mapping[str, str]
"""Name of a file without its ending -> its text, as checkpoints hold them."""

_FILES = {"distribution": DISTRIBUTION, "metrics": METRICS}


class EpochLog:
    """``metrics.jsonl`` and ``distribution.jsonl`` of a run; a training has the first alone.

    Args:
        run: The run's directory.
    """

    def __init__(self, run: Path) -> None:
        self._run = run
        self._held: dict[str, bytes] = dict.fromkeys(_FILES, b"")

    def append(
        self,
        record: Mapping[str, Any],
        decisions: Sequence[Decision] = (),
        weights: Weights | None = None,
    ) -> None:
        """Append the lines of an epoch, and push them to the disk.

        Args:
            record: Its metrics, with ``epoch`` among them.
            decisions: Those of the search space.
            weights: Weight of every choice; None for no line of them.

        Raises:
            OutputError: A file cannot be written.
        """
        if weights is not None:
            names = b"" if self._held["distribution"] else names_line(decisions)
            self._append("distribution", names + weights_line(record["epoch"], weights))
        self._append("metrics", json_line(record))

    def _append(self, name: str, lines: bytes) -> None:
        path = self._run / _FILES[name]
        with output_errors(path):
            append_to(path, lines, is_synced=True)
        self._held[name] += lines

    def state_dict(self) -> dict[str, str]:
        """Return the content of both files, for a checkpoint."""
        return {name: kept.decode() for name, kept in self._held.items()}

    def restore(self, held: Held | None) -> None:
        """Make the files hold what a checkpoint holds; nothing for None.

        Lines that came after it are cut off. What differs otherwise is written anew, with a
        warning that says where it begins.

        Raises:
            OutputError: A file cannot be written.
        """
        texts = dict.fromkeys(_FILES, "") if held is None else held
        self._held = {name: texts[name].encode() for name in _FILES}
        told = [why for name, kept in self._held.items() if (why := self._make(name, kept))]
        if told:
            _log.warning("%s; written anew from the checkpoint", " and ".join(told))

    def _make(self, name: str, kept: bytes) -> str | None:
        """Make a file hold some bytes; return what was wrong with it, if more than its end."""
        path = self._run / _FILES[name]
        with output_errors(path):
            try:
                with open_in_place(path) as file:
                    found = file.read(len(kept))
                    if found == kept:
                        if file.read(1):
                            file.truncate(len(kept))
                            os.fsync(file.fileno())
                        return None
                why = f"{path} differs in line {_differs(found, kept)} from what was written there"
            except FileNotFoundError:
                if not kept:
                    if name == "metrics":  # the other is made with its first line
                        append_to(path, b"")
                    return None
                why = f"{path} is missing"
            except DamagedError:
                why = f"{path} is no regular file"
                if not path.is_dir():
                    path.unlink()
            write_atomically(path, lambda file: file.write(kept))
        return why


def _differs(found: bytes, kept: bytes) -> int:
    """Return the number of the first line that is not the same."""
    pairs = zip(found.split(b"\n"), kept.split(b"\n"), strict=False)
    return next((n for n, (one, other) in enumerate(pairs, start=1) if one != other), 1)


def records(metrics: bytes) -> list[dict[str, Any]]:
    """Return the records of whole epochs from the bytes of ``metrics.jsonl``.

    Raises:
        ValueError: A line is damaged, or out of order; the message says which.
    """
    from balenas_core.runs.stored import StoredMetrics, parsed

    found = []
    for number, line in enumerate(metrics.split(b"\n")[:-1]):
        try:
            record = parsed(line, StoredMetrics)
        except ValueError as error:
            raise ValueError(f"line {number + 1}: {error}") from error
        if record["epoch"] != number:
            raise ValueError(f"line {number + 1}: it is of epoch {record['epoch']}, not {number}")
        found.append(record)
    if not metrics.endswith(b"\n") and metrics:
        raise ValueError(f"line {len(found) + 1}: it has no end")
    return found
