"""One training while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from balenas_core.engine.clock import Clock
from balenas_core.engine.place import Place
from balenas_core.engine.processes import Processes
from balenas_core.errors import DivergenceError
from balenas_core.interfaces.architecture import Architecture
from balenas_core.interfaces.dataset import ImageDataset
from balenas_core.interfaces.events import EpochEnded, StepEnded
from balenas_core.interfaces.proxy import Batch
from balenas_core.interfaces.space import AnySpace, Task
from balenas_core.plugins.registry import Registry
from balenas_core.runs.checkpoints import loading
from balenas_core.runs.directory import RESULT, RunDirectory, holds_run
from balenas_core.scores.room import check_room
from balenas_timm.recipes import TrainingJob
from balenas_timm.training._data import batches
from balenas_timm.training._events import Event, TrainingStarted
from balenas_timm.training._loop import TrainingLoop
from balenas_timm.training._network import (
    auxiliary_head,
    build_network,
    check_parts,
    count,
    freeze_unused,
)
from balenas_timm.training._result import TrainingResult
from balenas_timm.weights import WEIGHTS, Blueprint, known_of, save_weights


class Session:
    """One training while it runs: its images, its loop, and the way from epoch to result.

    Args:
        job: What to train.
        space: Builds the network.
        architecture: The network's architecture.
        dataset: The images.
        registry: Where the space was found.
        processes: This process among those that share the training.
        emit: Called with every event.
        is_stop_requested: Whether to stop at the next point from which one can go on.

    Raises:
        UsageError: The job asks for something that cannot be done.
        DataError: The images do not suffice.
    """

    def __init__(
        self,
        job: TrainingJob,
        space: AnySpace,
        architecture: Architecture,
        dataset: ImageDataset,
        *,
        registry: Registry,
        processes: Processes,
        emit: Callable[[Event], None],
        is_stop_requested: Callable[[], bool],
    ) -> None:
        self._job = job
        self._recipe = job.training
        self._architecture = architecture
        self._dataset = dataset
        self._registry = registry
        self._processes = processes
        self._batches = batches(dataset, job.training, seed=job.seed, processes=processes)
        task = Task(dataset.input_shape, dataset.num_classes)
        check_room(
            space,
            task,
            architecture=architecture,
            images=max(1, job.training.batch_size // (job.training.accumulate * processes.count)),
            device=processes.device,
        )
        network = build_network(space, architecture, task, job.training, seed=job.seed)
        check_parts(network, task, job.training, processes)
        if processes.count > 1:
            freeze_unused(network, task)
        self._auxiliary_parameters = count(auxiliary_head(network))
        self._parameters = count(network) - self._auxiliary_parameters
        self._loop = TrainingLoop(
            network,
            job.training,
            num_classes=dataset.num_classes,
            steps_per_epoch=self._batches.train.steps_per_epoch,
            precision=job.precision,
            seed=job.seed,
            processes=processes,
        )
        self._place = Place()
        self._clock = Clock()
        self._last: dict[str, Any] = {}
        self._run: RunDirectory | None = None
        self._emit = emit
        self._is_stop_requested = is_stop_requested
        self._saved: tuple[int, int] | None = None

    def resume(self, state: dict[str, Any]) -> None:
        """Go back to the state of a checkpoint.

        Raises:
            MisfitError: It is of something else, and this session is of no use any more.
        """
        with loading():
            self._place = Place.from_state(state["place"])
            self._place.check(self._recipe.epochs, self._batches.train.steps_per_epoch)
            self._last = state["last"]
            self._clock.add(state["seconds"])
            self._loop.load_state_dict(state["loop"])
        self._saved = (self._place.epochs_done, self._place.steps_done)

    def run(self, run: RunDirectory | None) -> TrainingResult:
        """Make the epochs that are left.

        Raises:
            SearchInterrupted: A stop was requested; the checkpoint is of this moment.
            DivergenceError: A loss or a gradient is not finite.
        """
        self._run = run
        place = self._place
        path = run.path if run else None
        self._emit(
            TrainingStarted(
                path,
                self._recipe.epochs,
                self._batches.train.steps_per_epoch,
                place.epochs_done,
            )
        )
        self._note_place()
        with self._clock.phase("training"):
            while place.epochs_done < self._recipe.epochs:
                self._run_epoch()
        result = self._result(run)
        if run is not None:
            self._write(run, result)
        return result

    def _write(self, run: RunDirectory, result: TrainingResult) -> None:
        # Weights first: what has a result has them.
        facts = {key: value for key, value in result.to_dict().items() if key != "seconds"}
        blueprint = Blueprint.model_validate(
            {
                "space": self._job.space,
                "architecture": result.architecture,
                "provenance": {"training": facts},
                **known_of(self._dataset),
            },
            context={"registry": self._registry},
        )
        save_weights(run.path / WEIGHTS, self._loop.tested.state_dict(), blueprint)
        run.write_json(RESULT, result.to_dict())

    def close(self) -> None:
        """End the processes that load images."""
        self._batches.close()

    def _run_epoch(self) -> None:
        """Make what is left of an epoch, and record it."""
        place, clock = self._place, self._clock
        epoch = place.epochs_done
        self._loop.begin_epoch(epoch)
        with clock.phase("epoch"):
            self._run_steps(epoch)
            record = {
                "epoch": epoch,
                "step": place.step,
                "train_loss": place.train.mean_loss,
                "train_accuracy": place.train.accuracy,
                **self._tested(epoch),
                "lr": self._loop.lr,  # of the last step
                "drop_path": self._loop.drop_path,
            }
        record["seconds"] = clock.seconds("epoch")
        clock.reset("epoch")
        self._last = record
        if self._run is not None:
            self._run.log.append(record)
        place.end_epoch()
        self._save()
        self._emit(EpochEnded(epoch, record))
        self._stop_if_asked()

    def _run_steps(self, epoch: int) -> None:
        place, steps = self._place, self._batches.train.steps_per_epoch
        every = self._job.checkpoint.every_steps
        for step, batch in enumerate(
            self._batches.train.iterate(epoch, place.steps_done), start=place.steps_done
        ):
            try:
                made = self._loop.step(batch, epoch, step, stop=self._is_stop_requested())
            except DivergenceError as error:
                raise DivergenceError(self._divergence(epoch, step, error)) from error
            place.train.add(made.loss, made.correct, made.images)
            place.end_step()
            self._note_place()
            self._emit(StepEnded(epoch, step, made.loss, None))
            if made.is_stop_requested:
                self._stop()
            if every and place.step % every == 0 and place.steps_done < steps:
                self._save()

    def _note_place(self) -> None:
        if self._run is not None:
            steps = self._recipe.epochs * self._batches.train.steps_per_epoch
            self._run.reached("training", self._place.step, steps)

    def _tested(self, epoch: int) -> dict[str, float | None]:
        is_due = (epoch + 1) % self._recipe.test_every == 0 or epoch + 1 == self._recipe.epochs
        if not is_due:
            return {"test_loss": None, "test_accuracy": None}
        found = self._loop.test(self._interruptible(self._batches.test.iterate(0)))
        return {"test_loss": found.mean_loss, "test_accuracy": found.accuracy}

    def _interruptible(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        for batch in batches:
            if self._run is not None:
                self._run.beat()
            # Several processes stop together, after a step or an epoch.
            if self._processes.count == 1:
                self._stop_if_asked()
            yield batch

    def _divergence(self, epoch: int, step: int, error: DivergenceError) -> str:
        run = self._run
        is_kept = run is not None and holds_run(run.path, run.kind)
        kept = f" The last checkpoint is kept in {run.path}." if run and is_kept else ""
        return (
            f"the training diverged in epoch {epoch}, step {step}: {error}. Lower training.lr "
            f"(now {self._recipe.lr}), begin with training.warmup_epochs (now "
            f"{self._recipe.warmup_epochs}), or set training.clip (now {self._recipe.clip}).{kept}"
        )

    def _save(self) -> None:
        """Write a checkpoint of this moment, unless the last one is of the same."""
        place = self._place
        moment = (place.epochs_done, place.steps_done)
        if self._run is None or moment == self._saved:
            return
        self._run.write_checkpoint(
            {
                "config": self._job.model_dump(mode="json"),
                "place": place.state_dict(),
                "last": self._last,
                "seconds": {name: self._clock.seconds(name) for name in ("training", "epoch")},
                "loop": self._loop.state_dict(),
                "logs": self._run.log.state_dict(),
            },
            epoch=place.epochs_done,
            step=place.step,
        )
        self._saved = moment

    def _stop_if_asked(self) -> None:
        if self._processes.any(self._is_stop_requested()):
            self._stop()

    def _stop(self) -> None:
        """Leave the training at a point from which a checkpoint can go on.

        Raises:
            SearchInterrupted: Always.
        """
        self._save()
        raise self._place.interruption()

    def _result(self, run: RunDirectory | None) -> TrainingResult:
        last = self._last
        return TrainingResult(
            architecture=str(self._architecture),
            space=self._job.space.name,
            dataset=self._dataset.name,
            preset=self._job.preset,
            seed=self._job.seed,
            epochs=self._place.epochs_done,
            test_accuracy=last["test_accuracy"],
            test_loss=last["test_loss"],
            test_images=self._batches.test_images,
            is_held_out=self._batches.is_held_out,
            train_accuracy=last["train_accuracy"],
            train_loss=last["train_loss"],
            parameters=self._parameters,
            auxiliary_parameters=self._auxiliary_parameters,
            processes=self._processes.count,
            seconds=self._clock.seconds("training"),
            run=run.path if run else None,
        )
