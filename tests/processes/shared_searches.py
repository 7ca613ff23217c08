"""What each of two processes does for ``test_shared_searches``; started by torchrun.

Prints a line for each thing that the tests ask about.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch

from balenas_core import Search, SearchConfig
from balenas_core.engine.launch import launch
from balenas_core.engine.processes import join
from balenas_core.errors import BalenasError, SearchInterrupted
from balenas_core.interfaces.events import StepEnded

SHARED = {"noise": "shared", "sync_batch_norm": True}
FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()


def config(**changes: Any) -> SearchConfig:
    """Return a small search; the same seed gives the same batches however many share them."""
    training = {"epochs": 2, "batch_size": 240, **changes.pop("training", {})}
    settings: dict[str, Any] = {
        "space": {"name": "nb201", "channels": 4},
        "optimizer": "ngvi",
        "selector": {"name": "naswot", "draws": 6},
        "data": "digits",
        "training": training,
        "check_epochs": 0,
        "threads": 1,
        "precision": "float64",
    }
    return SearchConfig(**{**settings, **changes})


def say(text: str) -> None:
    # In one piece: lines of two processes that share a pipe must not run into one another.
    os.write(1, f"rank {launch().rank}: {text}\n".encode())


def equal_everywhere() -> None:
    """Search with shared noise and statistics, as one process does."""
    result = Search(config(processes=SHARED, output=FOLDER / "shared")).run()
    say(f"chose {result.architecture}, run {result.run is not None}")


def apart() -> None:
    """Search with noise of each process's own, whole and interrupted by one of them."""
    whole = Search(config(output=FOLDER / "own", precision="float32")).run()
    say(f"own {whole.architecture}")
    cut = config(output=FOLDER / "cut", precision="float32", checkpoint={"every_steps": 1})
    steps = 0

    def count(event: object) -> None:
        nonlocal steps
        steps += isinstance(event, StepEnded)
        if steps == 3:
            search.request_stop()

    search = Search(cut, listeners=[count])
    try:
        search.run()
    except SearchInterrupted as stopped:
        say(str(stopped))
    say(f"resumed {Search(cut).run(resume='must').architecture}")


def hard_draws() -> None:
    """Search with hard draws, of which each process computes other operations."""
    gdas = config(
        optimizer="adam",
        distribution={"name": "gumbel_softmax", "hard": True},
        training={"epochs": 1},
        output=None,
    )
    say(f"hard {Search(gdas).run().architecture}")


def unrolled() -> None:
    """Search one step ahead."""
    second = config(
        optimizer={"name": "adam", "unrolled": True},
        distribution="point",
        selector="argmax",
        training={"epochs": 1},
        processes=SHARED,
        output=FOLDER / "unrolled",
    )
    say(f"unrolled {Search(second).run().architecture}")


def refused() -> None:
    """Ask for what cannot be shared."""
    for changes in (
        {"training": {"batch_size": 241}},
        {"optimizer": "reinforce", "distribution": "point", "processes": {"noise": "own"}},
    ):
        try:
            Search(config(**changes, output=FOLDER / "refused")).run()
        except BalenasError as error:
            say(str(error))


def different() -> None:
    """Hold numbers that differ."""
    own = join("cpu")
    try:
        own.check_same("x", [torch.tensor(float(own.rank))], "Do this.")
    except BalenasError as error:
        say(str(error))
    try:
        with own.together("begin"):
            if own.rank == 1:
                raise BalenasError("no data here")
    except BalenasError as error:
        say(str(error))


if __name__ == "__main__":
    for scenario in (equal_everywhere, apart, hard_draws, unrolled, refused, different):
        scenario()
