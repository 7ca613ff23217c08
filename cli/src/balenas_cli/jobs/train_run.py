"""Running trainings for ``balenas train``, and showing what they came to."""

from __future__ import annotations

import contextlib
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balenas_cli.jobs.processes import follow
from balenas_cli.jobs.progress import Progress, shown
from balenas_cli.jobs.stopping import stops
from balenas_cli.plans.train_plan import Plan
from balenas_cli.shell.console import print_json, print_text, show, stderr, table
from balenas_cli.shell.run_names import own_command
from balenas_core.engine.launch import is_first_process
from balenas_core.errors import DivergenceError
from balenas_core.interfaces.events import EpochEnded
from balenas_core.runs.directory import finite
from balenas_timm.recipes import holds_training
from balenas_timm.training import Training, TrainingResult, TrainingStarted

if TYPE_CHECKING:
    from rich.console import RenderableType

    from balenas_core.runs.resume import Resume
    from balenas_timm.recipes import TrainingJob
    from balenas_timm.training import Event


def execute(plan: Plan, *, quiet: bool, json: bool) -> None:
    """Train, and print the results.

    Args:
        plan: The trainings.
        quiet: Show no progress.
        json: Print the results as JSON, and nothing else.
    """
    if not is_first_process():
        follow(lambda: [_run(job, plan.resume, quiet=True) for job in plan.jobs])
        return
    results = [_run(job, plan.resume, quiet=quiet or json) for job in plan.jobs]
    if json:
        print_json(finite(_plain(results)))
        return
    print_text(results[0].architecture)
    show(_facts(results[0]) if len(results) == 1 else _by_seed(results))


class _Record:
    """A listener that shows a training, and knows how far it came and where it writes."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._run: Path | None = None
        self._epochs = self._done = 0
        self.has_started = False

    def __call__(self, event: Event) -> None:
        """Take note of one event."""
        if isinstance(event, TrainingStarted):
            self.has_started = True
            self._run, self._epochs = event.run, event.epochs
            self._done = event.epochs_done
            self._progress.begin(event.epochs, event.steps_per_epoch)
            return
        if isinstance(event, EpochEnded):
            self._done = event.epoch + 1
        self._progress(event)

    def kept(self, error: BaseException) -> list[str]:
        """Return what the directory keeps and how to go on, as lines; none if it is none."""
        if self._run is None:
            return []
        stopped = f"stopped after {self._done} of {self._epochs} epochs"
        if not holds_training(self._run):
            return [f"{stopped}; {self._run} is gone, and the state with it."]
        kept = f"{stopped}; {self._run} keeps the state."
        # From the same state on the same numbers follow: it would diverge again.
        if isinstance(error, DivergenceError):
            return [kept]
        return [f"{kept} Go on with:", f"  {own_command('train', str(self._run))}"]


def _run(job: TrainingJob, resume: Resume, *, quiet: bool) -> TrainingResult:
    record = None
    try:
        # What a plugin or a library prints is no result.
        with (
            contextlib.redirect_stdout(sys.stderr),
            shown(stderr(), quiet=quiet, label="training") as progress,
        ):
            record = _Record(progress)
            training = Training(job, listeners=[record])
            with stops(training.request_stop, what="training"):
                result = training.run(resume=resume)
    except BaseException as error:
        for line in record.kept(error) if record is not None else ():
            stderr().print(line, soft_wrap=True)
        raise
    if not record.has_started and is_first_process():
        stderr().print(f"{result.run} is done already; this is its result", soft_wrap=True)
    return result


def _plain(results: Sequence[TrainingResult]) -> dict[str, Any]:
    plain = [{**result.to_dict(), "run": str(result.run)} for result in results]
    if len(plain) == 1:
        return plain[0]
    mean, deviation = _spread(results)
    return {"results": plain, "test_accuracy": {"mean": mean, "standard_deviation": deviation}}


def _spread(results: Sequence[TrainingResult]) -> tuple[float, float]:
    values = [result.test_accuracy for result in results]
    return statistics.fmean(values), statistics.stdev(values)


def _facts(result: TrainingResult) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    head = f", and {result.auxiliary_parameters:,} of the auxiliary head"
    images = "training images held out" if result.is_held_out else "test images"
    facts = {
        "test": f"{result.test_accuracy:.2f} % accuracy, loss {result.test_loss:.4f}, on "
        f"{result.test_images:,} {images} of {result.dataset}",
        "training": f"{result.train_accuracy:.2f} % accuracy, loss {result.train_loss:.4f}, in the "
        f"last of {result.epochs} epochs (preset {result.preset}, seed {result.seed})",
        "network": f"{result.parameters:,} parameters of space {result.space}"
        f"{head if result.auxiliary_parameters else ''}",
        "time": f"{result.seconds:.1f} s",
        "run": str(result.run),
    }
    grid = Table.grid(padding=(0, 2))
    for key, value in facts.items():
        grid.add_row(Text(key, style="bold"), Text(value, overflow="fold"))
    return grid


def _by_seed(results: Sequence[TrainingResult]) -> RenderableType:
    from rich.text import Text

    numbers = ("test accuracy", "test loss", "seconds")
    listing = table("seed", *numbers, "run", right=("seed", *numbers))
    for result in results:
        listing.add_row(
            str(result.seed),
            f"{result.test_accuracy:.2f} %",
            f"{result.test_loss:.4f}",
            f"{result.seconds:.1f}",
            Text(str(result.run), overflow="fold"),
        )
    mean, deviation = _spread(results)
    listing.add_row("mean", f"{mean:.2f} ± {deviation:.2f} %", "", "", "", style="bold")
    return listing
