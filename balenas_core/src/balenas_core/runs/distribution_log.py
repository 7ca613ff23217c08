"""The distribution over architectures, epoch by epoch, in a run directory."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balenas_core.files import output_errors

if TYPE_CHECKING:
    from balenas_core.interfaces.space import Decision, Weights

_DIGITS = 6
"""Decimals of a weight: more than a picture or a table shows."""


@dataclass(frozen=True, slots=True)
class DistributionHistory:
    """Weights of the choices of one decision over a search.

    Args:
        decision: Its name.
        slots: Such as edges.
        choices: Such as operations.
        epochs: Those that are known, in order.
        weights: `epochs x slots x choices` nested sequences; rows sum to one.
    """

    decision: str
    slots: tuple[str, ...]
    choices: tuple[str, ...]
    epochs: tuple[int, ...]
    weights: tuple[Sequence[Sequence[float]], ...]


def append_distribution(
    path: Path, epoch: int, decisions: Sequence[Decision], weights: Weights
) -> None:
    """Append the weights of an epoch, one line, and push it to the disk.

    The first line of the file names decisions, slots and choices.

    Raises:
        OutputError: The file cannot be written.
    """
    rows = {
        name: [[round(w, _DIGITS) for w in row] for row in value.tolist()]
        for name, value in weights.items()
    }
    with output_errors(path), path.open("ab") as file:
        if file.tell() == 0:
            names = {d.name: {"slots": d.slots, "choices": d.choices} for d in decisions}
            file.write(_line({"decisions": names}))
        file.write(_line({"epoch": epoch, "weights": rows}))
        file.flush()
        os.fsync(file.fileno())


def cut_distribution(path: Path, epochs: int) -> None:
    """Remove the lines of all but the first epochs, and a line that was not finished.

    Raises:
        OutputError: The file cannot be read or written.
    """
    with output_errors(path):
        if not path.exists():
            return
        with path.open("rb+") as file:
            records = list(_records(file.readlines()))
            kept = [size for record, size in records if record.get("epoch", -1) < epochs]
            file.truncate(sum(kept) if epochs else 0)
            os.fsync(file.fileno())


def read_distribution(path: Path) -> tuple[DistributionHistory, ...]:
    """Return the history of every decision; none where the file is absent or damaged."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError:
        return ()
    header, *epochs = [record for record, _ in _records(lines)] or [{"decisions": {}}]
    return tuple(
        DistributionHistory(
            name,
            tuple(names["slots"]),
            tuple(names["choices"]),
            tuple(record["epoch"] for record in epochs),
            tuple(record["weights"][name] for record in epochs),
        )
        for name, names in header["decisions"].items()
    )


def _line(record: Mapping[str, Any]) -> bytes:
    return (json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def _records(lines: Sequence[bytes]) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield every record with its bytes, up to the first that is damaged."""
    for number, line in enumerate(lines):
        try:
            record = json.loads(line)
        except ValueError:
            return
        expected = {"epoch", "weights"} if number else {"decisions"}
        if not line.endswith(b"\n") or not isinstance(record, dict) or record.keys() != expected:
            return
        yield record, len(line)
