"""The distribution over architectures, epoch by epoch, as lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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


def names_line(decisions: Sequence[Decision]) -> bytes:
    """Return the first line, which names decisions, slots and choices."""
    names = {d.name: {"slots": d.slots, "choices": d.choices} for d in decisions}
    return _line({"decisions": names})


def weights_line(epoch: int, weights: Weights) -> bytes:
    """Return the line of an epoch."""
    rows = {
        name: [[round(w, _DIGITS) for w in row] for row in value.tolist()]
        for name, value in weights.items()
    }
    return _line({"epoch": epoch, "weights": rows})


def histories(lines: bytes) -> tuple[DistributionHistory, ...]:
    """Return the history of every decision, from whole lines.

    A line at the end may be in the making, and counts as absent.

    Raises:
        ValueError: A line is damaged; the message says which.
    """
    from balenas_core.runs.stored import StoredDecisions, StoredWeights, parsed

    found: list[dict[str, Any]] = []
    for number, line in enumerate(lines.split(b"\n")[:-1]):
        try:
            found.append(parsed(line, StoredWeights if number else StoredDecisions))
            if number:
                _check_shapes(found[-1]["weights"], found[0]["decisions"])
        except ValueError as error:
            raise ValueError(f"line {number + 1}: {error}") from error
    header, *epochs = found or [{"decisions": {}}]
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


def _check_shapes(weights: Mapping[str, Any], decisions: Mapping[str, Any]) -> None:
    for name, names in decisions.items():
        rows = weights.get(name, ())
        if [len(row) for row in rows] != [len(names["choices"])] * len(names["slots"]):
            raise ValueError(f"weights.{name} has not a row of choices for every slot")


def _line(record: Mapping[str, Any]) -> bytes:
    return (json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n").encode()
