"""The learning of one search, while it runs."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Mapping
from typing import Any

import torch

from balenas_core.config import CurvatureConfig, InformedPriorConfig, SearchConfig
from balenas_core.engine._batches import SearchBatches
from balenas_core.engine._learned import Learned
from balenas_core.engine._measuring import Measuring
from balenas_core.engine._shared_step import SharedStep
from balenas_core.engine._trial import Trial
from balenas_core.engine.bilevel import BilevelLoop, Precision
from balenas_core.engine.cells import compile_cells
from balenas_core.engine.clock import Clock
from balenas_core.engine.components import Components
from balenas_core.engine.informed_prior import InformedPrior, form_prior
from balenas_core.engine.modifiers import EarlyStopping, LimitedDistribution
from balenas_core.engine.one_image import check_one_image
from balenas_core.engine.place import Place, global_generators, restore_global_generators
from balenas_core.engine.processes import Processes
from balenas_core.errors import DivergenceError, UsageError
from balenas_core.interfaces.distribution import ArchitectureDistribution
from balenas_core.interfaces.events import (
    EpochEnded,
    Event,
    SearchStarted,
    SelectionProgress,
    StepEnded,
)
from balenas_core.interfaces.space import Supernet
from balenas_core.random import derive_seed, generator, seeded
from balenas_core.runs.checkpoints import Checkpoint, loading
from balenas_core.runs.directory import PRIOR, RunDirectory, holds_run
from balenas_core.runs.epoch_log import records
from balenas_core.scores import ScoringJob
from balenas_core.scores.room import check_room

_log = logging.getLogger(__name__)


class Learning:
    """Learns a distribution over architectures, epoch by epoch, and hands on what it learned.

    Args:
        config: What to search.
        components: The plugins.
        precision: Device and type.
        processes: This process among those that share the learning.
        emit: Called with every event.
        is_stop_requested: Whether to stop at the next point from which one can go on.

    Raises:
        UsageError: No architecture keeps ``modifiers.limits``, or batches are of one image, from
            which the supernet cannot learn.
    """

    def __init__(
        self,
        config: SearchConfig,
        components: Components,
        precision: Precision,
        *,
        processes: Processes,
        emit: Callable[[Event], None],
        is_stop_requested: Callable[[], bool],
    ) -> None:
        self._config = config
        self._components = components
        self._processes = processes
        share = processes.share_of(config.training.batch_size)
        self._batches = batches = SearchBatches.of(
            components.dataset, config, shard=processes.shard, device=precision.device
        )
        self._measuring = Measuring(batches, precision, self._stop_if_asked, processes)
        optimizer_generator = generator(config.seed, "optimizer")
        optimizer = components.make_optimizer(batches.validation_images, optimizer_generator)
        recomputes = config.training.checkpoint_cells  # of which nothing is kept
        check_room(
            components.space,
            components.task,
            weights=lambda: components.distribution.weights(generator(config.seed, "room")),
            images=share if optimizer.uses_supernet and not recomputes else 0,
            device=precision.device,
        )
        epochs = config.training.epochs - config.training.weights_only_epochs
        optimizer.set_length(max(1, epochs * batches.train.steps_per_epoch))
        with seeded(derive_seed(config.seed, "supernet")):
            supernet = components.space.supernet(components.task)
        self._supernet = supernet.to(precision.device, precision.storage)
        _set_up_cells(self._supernet, config, precision.device)
        components.distribution.to(precision.device, precision.storage)
        is_synced = config.processes.sync_batch_norm and processes.count > 1
        if share == 1 and optimizer.uses_supernet and not is_synced:
            self._check_one_image()
        self._shared = SharedStep(
            processes,
            config.processes,
            supernet=self._supernet,
            distribution=components.distribution,
            optimizer=optimizer,
            seed=config.seed,
        )
        self._loop = BilevelLoop(
            self._supernet,
            components.distribution,
            optimizer,
            training=config.training,
            precision=precision,
            generator=generator(config.seed, "weights"),
            shared=self._shared,
            optimizer_generator=optimizer_generator,
            perturbation=config.modifiers.perturbation,
        )
        early_stopping = config.modifiers.early_stopping
        self._early_stopping = EarlyStopping(early_stopping) if early_stopping else None
        self.distribution = _limited(components, config.modifiers.limits)
        self._epochs = config.training.epochs if optimizer.uses_supernet else 0
        self._place = Place()
        self._clock = Clock()
        self._metrics: list[Mapping[str, Any]] = []
        self._run: RunDirectory | None = None
        self._emit = emit
        self._is_stop_requested = is_stop_requested
        self._checkpoint = "start"
        self._saved: tuple[int, int] | None = None
        self._is_informed = config.modifiers.informed_prior is None

    def _check_one_image(self) -> None:
        components = self._components
        with torch.no_grad():
            weights = components.distribution.mean_weights()
        check_one_image(
            self._supernet,
            components.task.input_shape,
            lambda image: self._supernet(image, weights),
            advice=f"Set training.batch_size to at least {2 * self._processes.count}.",
        )

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go back to the state of a checkpoint.

        Raises:
            MisfitError: It is of something else, and this learning is of no use any more.
        """
        state = checkpoint.state
        with loading():
            self._place = Place.from_state(state["place"])
            self._place.check(self._epochs, self._batches.train.steps_per_epoch)
            self._metrics = list(records(state["logs"]["metrics"].encode()))
            self._clock.add(state["seconds"])
            if self._early_stopping is not None:
                self._early_stopping.load_state_dict(state["early_stopping"])
            self._loop.load_state_dict(state["loop"])
            restore_global_generators(state["generators"])
        # The state of the distribution has it.
        self._is_informed = True
        self._checkpoint = checkpoint.checksum
        self._saved = (self._place.epochs_done, self._place.steps_done)

    def learn(self, run: RunDirectory | None) -> Learned:
        """Make the epochs that are left.

        Args:
            run: Where metrics and checkpoints are written; None to write nothing.

        Raises:
            DivergenceError: A loss became non-finite.
            SearchInterrupted: A stop was requested; the checkpoint is of this moment.
        """
        self._run = run
        place = self._place
        self._emit(
            SearchStarted(
                self._config,
                run.path if run else None,
                self._epochs,
                self._batches.train.steps_per_epoch,
                place.epochs_done,
                place.steps_done,
            )
        )
        self._note_place()
        self._shared.start()
        with self._clock.phase("search"), self._shared.of_batch_norm():
            self._inform()
            while place.epochs_done < self._epochs and not self._has_stopped_early():
                self._run_epoch()
        return self._learned()

    def finished(self, run: RunDirectory) -> Learned:
        """Return what a finished search has learned, without writing anything.

        Args:
            run: Its directory.

        Raises:
            UsageError: The search is not finished, or its last checkpoint was removed.
        """
        if self._place.epochs_done >= self._epochs or self._has_stopped_early():
            # Where nothing is trained there is no checkpoint either.
            self._inform()
            return self._learned()
        if run.read_status().get("status") == "done":
            raise UsageError(
                f"the last checkpoint of {run.path} was removed or is damaged, and with it what "
                f"the search has learned; search again to choose by another selector."
            )
        command = ["balenas", "resume", str(run.path), "--selector", self._config.selector.name]
        raise UsageError(
            f"the search of {run.path} is not finished: {self._place.epochs_done} of "
            f"{self._epochs} epochs. Finish it first, with this selector if you like:\n"
            f"  {shlex.join(command)}"
        )

    def trial(self) -> Trial:
        """Return some steps of this learning, which is of no use afterwards."""
        return Trial(self._loop, self._batches, self._measuring.precision, self._epochs)

    def unlearned(self) -> Learned:
        """Return what has been learned so far, whatever that is, to try a selection on."""
        return self._learned()

    def close(self) -> None:
        """End the processes that load images."""
        self._batches.close()

    def _inform(self) -> None:
        """Give the distribution the means of its prior, where it is to be informed."""
        config = self._config.modifiers.informed_prior
        if config is None or self._is_informed:
            return
        components = self._components
        with self._clock.phase("prior"):
            prior = self.prior(config, self._report_prior)
        components.distribution.set_offset(prior.offset(config.scale))
        self._processes.unify(components.distribution.state_dict().values())
        self._is_informed = True
        seconds, decisions = self._clock.seconds("prior"), components.space.decisions
        if self._run is not None:
            self._run.write_json(PRIOR, prior.record(decisions, config, seconds))
        self._emit(prior.formed(decisions, seconds))

    def prior(
        self, config: InformedPriorConfig, report: Callable[[int, int], None]
    ) -> InformedPrior:
        """Score architectures on a batch of the training half, and return what they say."""
        components, seed = self._components, derive_seed(self._config.seed, "prior")
        batch = next(self._measuring.training_batches(0))
        job = ScoringJob(
            components.space.for_proxies(),
            components.task,
            components.prior_proxies,
            batch,
            seed=seed,
            dtype=batch.images.dtype,
        )
        return form_prior(job, config, seed=seed, report=report)

    def _report_prior(self, done: int, total: int) -> None:
        self._emit(SelectionProgress(done, total, "prior"))
        self._stop_if_asked()

    def _learned(self) -> Learned:
        return Learned(
            space=self._components.space,
            task=self._components.task,
            distribution=self.distribution,
            supernet=self._supernet,
            is_supernet_trained=self._epochs > 0,
            measuring=self._measuring,
            seed=self._config.seed,
            metrics=tuple(self._metrics),
            seconds=self._clock.seconds("search"),
            state=self._checkpoint,
            stop_if_asked=self._stop_if_asked,
        )

    def _has_stopped_early(self) -> bool:
        stopping = self._early_stopping
        if stopping is None or not stopping.has_stopped:
            return False
        _log.info("stopped before epoch %d: the top eigenvalue has risen", self._place.epochs_done)
        return True

    def _run_epoch(self) -> None:
        """Make what is left of an epoch, and record it."""
        place, clock = self._place, self._clock
        epoch = place.epochs_done
        lr = self._loop.lr
        self._loop.set_progress(epoch / max(1, self._epochs - 1))
        with clock.phase("epoch"):
            self._run_steps(epoch)
            record = {
                "epoch": epoch,
                "step": place.step,
                "train_loss": place.train.mean_loss,
                "train_accuracy": place.train.accuracy,
                "validation_loss": place.validation.mean_loss,
                # It can be interrupted, so that it comes before whatever changes a state.
                "validation_accuracy": self._supernet_accuracy(),
                "lr": lr,
                **self._components.distribution.statistics(),
                **self._loop.optimizer.statistics(),
                **self._curvature(epoch),
                "architecture": str(self.distribution.argmax(self._components.space)),
            }
            self._loop.end_epoch()
        record["seconds"] = clock.seconds("epoch")
        clock.reset("epoch")
        self._metrics.append(record)
        self._write(record)
        place.end_epoch()
        self._check_same(epoch)
        self._save()
        self._emit(EpochEnded(epoch, record))
        if self._processes.any(self._is_stop_requested()):
            self._stop()

    def _check_same(self, epoch: int) -> None:
        """Check that every process holds the same posterior, before it is saved."""
        self._processes.check_same(
            f"the distribution after epoch {epoch}",
            self._components.distribution.state_dict().values(),
            "Go on from the last checkpoint; if it comes again, set processes.noise to shared in "
            "a new search, and report it.",
        )

    def _note_place(self) -> None:
        if self._run is not None:
            steps = self._epochs * self._batches.train.steps_per_epoch
            self._run.reached("search", self._place.step, steps)

    def _supernet_accuracy(self) -> float:
        with torch.no_grad():
            weights = self._components.distribution.mean_weights()
        return self._measuring.supernet_accuracy(self._supernet, weights)

    def _write(self, record: Mapping[str, Any]) -> None:
        """Write what is known of an epoch."""
        if self._run is None:
            return
        distribution = self._components.distribution
        with torch.no_grad():
            weights = distribution.mean_weights()
        self._run.log.append(record, distribution.decisions, weights)

    def _run_steps(self, epoch: int) -> None:
        place, steps = self._place, self._batches.train.steps_per_epoch
        every = self._config.checkpoint.every_steps
        is_warm_up = epoch < self._config.training.weights_only_epochs
        validation_batches = self._batches.validation.endless(epoch * steps + place.steps_done)
        for step, batch in enumerate(
            self._batches.train.iterate(epoch, place.steps_done), start=place.steps_done
        ):
            validation_loss = None
            try:
                if not is_warm_up:
                    validation_loss = self._loop.architecture_step(
                        next(validation_batches), batch, place.step
                    )
                made = self._loop.weight_step(batch, place.step, stop=self._is_stop_requested())
            except DivergenceError as error:
                raise DivergenceError(self._divergence(epoch, step, error)) from error
            if validation_loss is not None:
                place.validation.add(validation_loss, 0, made.images)
            place.train.add(made.loss, made.correct, made.images)
            place.end_step()
            self._note_place()
            self._emit(StepEnded(epoch, step, made.loss, validation_loss))
            if self._processes.count == 1:
                self._stop_if_asked()
            elif made.is_stop_requested:
                self._stop()
            if every and place.step % every == 0 and place.steps_done < steps:
                self._save()

    def _curvature(self, epoch: int) -> dict[str, float]:
        """Measure the curvature if it is asked for, and act on it."""
        modifiers = self._config.modifiers
        config = modifiers.curvature
        if config is None and modifiers.early_stopping is not None:
            config = CurvatureConfig()
        if config is None:
            return {}
        random = generator(self._config.seed, "curvature", epoch)
        # One process's numbers, so that all of them decide alike.
        found = self._processes.of_first(
            lambda: self._loop.curvature(self._measuring.first_batch(), config, random)
        )
        is_warm_up = epoch < self._config.training.weights_only_epochs
        if self._early_stopping is not None and not is_warm_up:
            self._early_stopping.update(found.top_eigenvalue, self._components.distribution)
        return {
            "hessian_top_eigenvalue": found.top_eigenvalue,
            "hessian_trace": found.trace,
        }

    def _divergence(self, epoch: int, step: int, error: DivergenceError) -> str:
        run = self._run
        kept = f" The last checkpoint is kept in {run.path}." if run and holds_run(run.path) else ""
        return (
            f"the search diverged in epoch {epoch}, step {step}: {error}. Lower training.lr "
            f"(now {self._config.training.lr}), lower the optimizer's lr, or set training.clip "
            f"(now {self._config.training.clip}).{kept}"
        )

    def _save(self) -> None:
        """Write a checkpoint of this moment, unless the last one is of the same."""
        place, stopping = self._place, self._early_stopping
        moment = (place.epochs_done, place.steps_done)
        # Without its prior the distribution is of another search.
        if self._run is None or moment == self._saved or not self._is_informed:
            return
        self._checkpoint = self._run.write_checkpoint(
            {
                "config": self._config.model_dump(mode="json"),
                "place": place.state_dict(),
                "seconds": {name: self._clock.seconds(name) for name in ("search", "epoch")},
                "early_stopping": stopping.state_dict() if stopping else None,
                "generators": global_generators(),
                "loop": self._loop.state_dict(),
                "logs": self._run.log.state_dict(),
            },
            epoch=place.epochs_done,
            step=place.step,
        )
        self._saved = moment

    def _stop_if_asked(self) -> None:
        """Leave the search at a point from which a checkpoint can go on.

        Raises:
            SearchInterrupted: A stop was requested.
        """
        if self._run is not None:
            self._run.beat()
        if self._is_stop_requested():
            self._stop()

    def _stop(self) -> None:
        """Save this moment, and leave.

        Raises:
            SearchInterrupted: Always.
        """
        self._save()
        raise self._place.interruption()


def _set_up_cells(supernet: Supernet, config: SearchConfig, device: torch.device) -> None:
    """Apply the options on cells.

    Raises:
        UsageError: The supernet has no cells to apply them to.
    """
    training = config.training
    is_compiled = training.compile == "cells"
    if (training.checkpoint_cells or is_compiled) and not supernet.cell_modules:
        option = "compile" if is_compiled else "checkpoint_cells"
        raise UsageError(
            f"training.{option} acts on cells, and the supernet of space {config.space.name!r} "
            "names none; leave the option out."
        )
    supernet.recomputes_cells = training.checkpoint_cells
    if is_compiled:
        compile_cells(supernet.cell_modules, device)


def _limited(components: Components, limits: Mapping[str, int]) -> ArchitectureDistribution:
    """Return the distribution that architectures are taken from."""
    distribution = components.distribution
    if not limits:
        return distribution
    return LimitedDistribution(distribution, components.space, limits)
