"""What trials are compared by."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from balenas_core.errors import SelectionError, UsageError
from balenas_core.runs.listing import RunInfo

Direction = Literal["maximize", "minimize"]

_SHORT: Final[dict[str, Direction]] = {
    "max": "maximize", "maximize": "maximize", "min": "minimize", "minimize": "minimize",
}  # fmt: skip
_SMALLER_IS_BETTER: Final = ("regret", "rank", "seconds", "loss", "params", "flops", "latency")


class Objective(BaseModel):
    """A number of a finished run, and which way is better.

    Args:
        name: As ``balenas runs list --sort`` knows it, or a score of the choice.
        direction: Which way is better.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    direction: Direction

    def value(self, run: RunInfo) -> float:
        """Return the number.

        Raises:
            SelectionError: The run has no such number; the message has those that it has.
        """
        numbers = known_numbers(run)
        if self.name not in numbers:
            raise SelectionError(
                f"{run.path} has no {self.name!r} to be compared by. It has: "
                f"{', '.join(sorted(numbers))}. Benchmarks must be installed, and proxies part of "
                f"the selector."
            )
        return numbers[self.name]


def known_numbers(run: RunInfo) -> dict[str, float]:
    """Return every number of a run that is done: those of listings, and the choice's scores."""
    chosen = (run.result or {}).get("candidates", [{}])[0]
    own = {
        name: float(score)
        for name, score in {**chosen.get("scores", {}), **chosen.get("costs", {})}.items()
        if isinstance(score, int | float)
    }
    return {**own, **run.values}


def parse_objective(text: str) -> Objective:
    """Return what ``NAME``, ``NAME:max`` or ``NAME:min`` says.

    Example:
        >>> parse_objective("cifar10.regret").direction
        'minimize'

    Raises:
        UsageError: The direction is none.
    """
    name, colon, direction = text.strip().partition(":")
    if not name or (colon and direction not in _SHORT):
        raise UsageError(
            f"--objective must be NAME, NAME:max or NAME:min, such as check_accuracy "
            f"(got {text!r})."
        )
    is_smaller = any(name.endswith(word) for word in _SMALLER_IS_BETTER)
    default: Direction = "minimize" if is_smaller else "maximize"
    return Objective(name=name, direction=_SHORT[direction] if colon else default)
