"""How a process was launched: alone, or with others that share its work. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from balenas_core.errors import UsageError

_OF_EACH = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
_MEETING = ("MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, slots=True)
class Launch:
    """A process among those that a launcher such as torchrun has started.

    Args:
        rank: Its number, from 0.
        local_rank: Its number among those of its machine.
        count: How many there are.
    """

    rank: int = 0
    local_rank: int = 0
    count: int = 1


def launch(environment: Mapping[str, str] = os.environ) -> Launch:
    """Return how this process was launched, as the variables of torchrun say.

    Args:
        environment: Variables of the process.

    Raises:
        UsageError: They contradict one another, or some are missing.
    """
    count = _number(environment, "WORLD_SIZE", 1)
    if count <= 1:
        return Launch()
    missing = [name for name in (*_OF_EACH, *_MEETING) if name not in environment]
    if missing:
        raise UsageError(
            f"WORLD_SIZE={count} says that {count} processes share this work, but "
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set. Start them "
            f"with 'torchrun --nproc-per-node={count} -m balenas_cli ...', which sets all of "
            f"these; for one process, unset WORLD_SIZE."
        )
    rank, local_rank = (_number(environment, name, 0) for name in ("RANK", "LOCAL_RANK"))
    for name, number in (("RANK", rank), ("LOCAL_RANK", local_rank)):
        if number >= count:
            raise UsageError(
                f"{name}={number} must be less than WORLD_SIZE={count}; torchrun sets both."
            )
    return Launch(rank, local_rank, count)


def is_first_process() -> bool:
    """Whether this process is the first of those that were launched, or alone.

    Raises:
        UsageError: As ``launch`` does.
    """
    return launch().rank == 0


def is_launched() -> bool:
    """Whether torchrun has started this process, and repeats to it what it is told to do."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def refuse_others(what: str) -> None:
    """Refuse work that uses one process where several were launched for it.

    Args:
        what: The work, as the subject of a message.

    Raises:
        UsageError: Several were launched.
    """
    count = _number(os.environ, "WORLD_SIZE", 1)
    if count > 1:
        raise UsageError(
            f"{what} uses one process, and WORLD_SIZE={count} says that {count} share it. Start "
            f"it without torchrun, or unset WORLD_SIZE; 'balenas search' and 'balenas train' can "
            f"share their work."
        )


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, str(default))
    if not text.strip().isdecimal():
        raise UsageError(
            f"{name} must be a whole number, as torchrun sets it (got {text!r}); unset it for "
            f"one process."
        )
    return int(text)
