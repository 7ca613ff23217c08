"""What each of several processes does; started by torchrun from a test."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from training_toys import dead_job, job, registry

from balenas_core.errors import SearchInterrupted, UsageError
from balenas_core.interfaces.events import StepEnded
from balenas_timm.training import Training, train

SETTINGS = {"epochs": 3, "batch_size": 10, "lr": 0.1, "ema": 0.9, "accumulate": 2}


def say(line: str) -> None:
    """Print a line in one piece: both processes write to the same pipe."""
    sys.stdout.write(f"{line}\n")


def stopped(folder: Path) -> None:
    """Ask the second process alone to stop in the middle."""
    training = Training(job(training=SETTINGS, output=folder), registry=registry())
    rank = int(os.environ["RANK"])
    if rank == 0:
        training._listeners.append(lambda event: None)
    else:
        # Only the first process has listeners, so that this one counts its own steps.
        import balenas_timm.training._loop as loop

        step = loop.TrainingLoop.step

        def counted(self, batch, epoch, number, **options):
            if (epoch, number) == (1, 3):
                training.request_stop()
            return step(self, batch, epoch, number, stop=training._is_stop_requested)

        loop.TrainingLoop.step = counted
    try:
        training.run()
    except SearchInterrupted as error:
        say(f"rank {rank}: {error}")
    if rank:
        loop.TrainingLoop.step = step


def main(folder: Path) -> None:
    """Train uninterrupted, stopped and resumed, and with a batch that cannot be shared."""
    rank = os.environ["RANK"]
    events = []
    result = train(
        job(training=SETTINGS, output=folder / "two"),
        registry=registry(),
        listeners=[events.append],
    )
    kinds = sum(isinstance(event, StepEnded) for event in events)
    say(f"rank {rank}: {kinds} steps, {result.test_accuracy} %, run {result.run is not None}")
    train(dead_job(output=folder / "dead"), registry=registry())
    stopped(folder / "cut")
    train(job(training=SETTINGS, output=folder / "cut"), registry=registry(), resume="must")
    again = train(job(training=SETTINGS, output=folder / "cut"), registry=registry(), resume="must")
    say(f"rank {rank}: done {again.epochs}")
    try:
        train(job(training={**SETTINGS, "batch_size": 9}), registry=registry())
    except UsageError as error:
        say(f"rank {rank}: {error}")


main(Path(sys.argv[1]))
