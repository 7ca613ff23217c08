"""One search while it runs."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from balenas_core._bilevel import BilevelLoop, Precision, Running, accuracy
from balenas_core._components import Components
from balenas_core._modifiers import EarlyStopping, LimitedDistribution
from balenas_core.architecture import Architecture
from balenas_core.benchmark import BenchmarkEntry
from balenas_core.config import CurvatureConfig, SearchConfig
from balenas_core.data import BatchLoader, split
from balenas_core.distribution import ArchitectureDistribution
from balenas_core.errors import DivergenceError
from balenas_core.events import (
    ArchitectureSelected,
    EpochEnded,
    Event,
    RunFinished,
    SearchStarted,
    SelectionProgress,
    StepEnded,
)
from balenas_core.random import derive_seed, generator, seeded
from balenas_core.result import SearchResult
from balenas_core.run import CHECKPOINT, RESULT, RunDirectory
from balenas_core.selection import Selection, SelectionContext

_log = logging.getLogger(__name__)

_RECALIBRATION_BATCHES = 20


@dataclass(slots=True)
class _Clock:
    """Wall-clock seconds by phase."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = time.perf_counter() - start


class Session:
    """One search while it runs: its data, its bilevel loop, and the way from epoch to result.

    Args:
        config: What to search.
        components: The plugins.
        precision: Device and type.
    """

    def __init__(self, config: SearchConfig, components: Components, precision: Precision) -> None:
        self._config = config
        self._components = components
        self._precision = precision
        training = config.training
        parts = split(
            components.dataset,
            training.validation_fraction,
            seed=derive_seed(config.seed, "split"),
            batch_size=training.batch_size,
        )
        # As in the DARTS code, architecture steps see augmented images; accuracy is without.
        augmented = replace(parts.validation, transform=components.dataset.augment)
        self._train, self._validation, self._evaluation = (
            BatchLoader(
                part,
                batch_size=training.batch_size,
                seed=derive_seed(config.seed, name),
                workers=training.workers,
                shuffle=shuffle,
                drop_last=shuffle,
            )
            for part, name, shuffle in (
                (parts.train, "train", True),
                (augmented, "validation", True),
                (parts.validation, "evaluation", False),
            )
        )
        optimizer = components.make_optimizer(len(parts.validation))
        with seeded(derive_seed(config.seed, "supernet")):
            supernet = components.space.supernet(components.task)
        self._supernet = supernet.to(precision.device, precision.storage)
        components.distribution.to(precision.device, precision.storage)
        self._loop = BilevelLoop(
            self._supernet,
            components.distribution,
            optimizer,
            training=training,
            precision=precision,
            generator=generator(config.seed, "weights"),
            perturbation=config.modifiers.perturbation,
        )
        early_stopping = config.modifiers.early_stopping
        self._early_stopping = EarlyStopping(early_stopping) if early_stopping else None
        self._chooser = _limited(components, config.modifiers.limits)
        self._epochs = training.epochs if optimizer.uses_supernet else 0
        self._step = 0
        self._metrics: list[dict[str, Any]] = []

    def run(self, run: RunDirectory | None, emit: Callable[[Event], None]) -> SearchResult:
        clock = _Clock()
        emit(
            SearchStarted(
                self._config, run.path if run else None, self._epochs, self._train.steps_per_epoch
            )
        )
        self._checkpoint(run, epochs_done=0)
        with clock.phase("search"):
            for epoch in range(self._epochs):
                if self._early_stopping is not None and self._early_stopping.has_stopped:
                    _log.info("stopped before epoch %d: the top eigenvalue has risen", epoch)
                    break
                record = self._run_epoch(epoch, run, emit)
                self._metrics.append(record)
                if run is not None:
                    run.append_metrics(record)
                self._checkpoint(run, epochs_done=epoch + 1)
                emit(EpochEnded(epoch, record))
        with clock.phase("selection"):
            selection = self._select(emit)
        chosen = selection.chosen.architecture
        emit(ArchitectureSelected(selection))
        result = SearchResult(
            selection=selection,
            validation_accuracy=self._inherited_accuracy(chosen) if self._epochs else None,
            benchmark=self._look_up(chosen),
            metrics=tuple(self._metrics),
            seconds=clock.seconds,
            run=run.path if run else None,
        )
        if run is not None:
            run.write_json(RESULT, result.to_dict())
        emit(RunFinished(result))
        return result

    def close(self) -> None:
        """End the processes that load images."""
        for loader in (self._train, self._validation, self._evaluation):
            loader.close()

    def _run_epoch(
        self, epoch: int, run: RunDirectory | None, emit: Callable[[Event], None]
    ) -> dict[str, Any]:
        start = time.perf_counter()
        lr = self._loop.lr
        self._loop.set_progress(epoch / max(1, self._epochs - 1))
        train, validation = Running(), Running()
        is_warm_up = epoch < self._config.training.warmup_epochs
        validation_batches = self._validation.endless(epoch * self._train.steps_per_epoch)
        for step, batch in enumerate(self._train.iterate(epoch)):
            validation_loss = None
            try:
                if not is_warm_up:
                    validation_loss = self._loop.architecture_step(next(validation_batches), batch)
                    validation.add(validation_loss, 0, len(batch.labels))
                loss, correct = self._loop.weight_step(batch)
            except DivergenceError as error:
                raise DivergenceError(self._divergence(epoch, step, run, error)) from error
            train.add(loss, correct, len(batch.labels))
            self._step += 1
            emit(StepEnded(epoch, step, loss, validation_loss))
        self._loop.end_epoch()
        distribution = self._components.distribution
        return {
            "epoch": epoch,
            "step": self._step,
            "train_loss": train.mean_loss,
            "train_accuracy": train.accuracy,
            "validation_loss": validation.mean_loss,
            "validation_accuracy": self._supernet_accuracy(),
            "lr": lr,
            **distribution.statistics(),
            **self._loop.optimizer.statistics(),
            **self._curvature(epoch),
            "architecture": str(self._chooser.argmax(self._components.space)),
            "seconds": time.perf_counter() - start,
        }

    def _curvature(self, epoch: int) -> dict[str, float]:
        """Measure the curvature if it is asked for, and act on it."""
        modifiers = self._config.modifiers
        config = modifiers.curvature
        if config is None and modifiers.early_stopping is not None:
            config = CurvatureConfig()
        if config is None:
            return {}
        found = self._loop.curvature(
            next(self._evaluation.iterate(0)),
            config,
            generator(self._config.seed, "curvature", epoch),
        )
        is_warm_up = epoch < self._config.training.warmup_epochs
        if self._early_stopping is not None and not is_warm_up:
            self._early_stopping.update(found.top_eigenvalue, self._components.distribution)
        return {
            "hessian_top_eigenvalue": found.top_eigenvalue,
            "hessian_trace": found.trace,
        }

    def _divergence(
        self, epoch: int, step: int, run: RunDirectory | None, error: DivergenceError
    ) -> str:
        kept = (
            f" The state after epoch {epoch - 1} is kept in {run.path / CHECKPOINT}."
            if (run is not None and epoch > 0)
            else ""
        )
        return (
            f"the search diverged in epoch {epoch}, step {step}: {error}. Lower training.lr "
            f"(now {self._config.training.lr}), lower the optimizer's lr, or set training.clip "
            f"(now {self._config.training.clip}).{kept}"
        )

    def _checkpoint(self, run: RunDirectory | None, *, epochs_done: int) -> None:
        if run is not None and self._epochs:
            stopping = self._early_stopping
            run.write_checkpoint(
                {
                    "epochs_done": epochs_done,
                    "step": self._step,
                    "early_stopping": stopping.state_dict() if stopping else None,
                    **self._loop.state_dict(),
                }
            )

    def _select(self, emit: Callable[[Event], None]) -> Selection:
        components = self._components
        batch = next(self._evaluation.iterate(0))
        context = SelectionContext(
            space=components.space,
            task=components.task,
            distribution=self._chooser,
            supernet=self._supernet,
            batch=self._precision.move(batch),
            evaluate=self._recalibrated_accuracy,
            generator=generator(self._config.seed, "selection"),
            seed=derive_seed(self._config.seed, "candidates"),
            device=self._precision.device,
            report=lambda done, total: emit(SelectionProgress(done, total)),
        )
        return components.selector.select(context)

    def _supernet_accuracy(self) -> float:
        with torch.no_grad():
            weights = self._components.distribution.mean_weights()
        return self._accuracy(_AtWeights(self._supernet, weights))

    def _inherited_accuracy(self, architecture: Architecture) -> float:
        network = self._components.space.inherit(self._supernet, architecture)
        return self._recalibrated_accuracy(network)

    def _recalibrated_accuracy(self, network: nn.Module) -> float:
        # The supernet's running statistics are those of the mixture; one architecture alone has
        # others, and without its own an inherited network guesses.
        batches = itertools.islice(self._train.iterate(0), _RECALIBRATION_BATCHES)
        images = (self._precision.move(batch).images for batch in batches)
        update_bn(images, network)
        return self._accuracy(network)

    def _accuracy(self, network: nn.Module) -> float:
        return accuracy(network, self._evaluation.iterate(0), self._precision)

    def _look_up(self, architecture: Architecture) -> tuple[BenchmarkEntry, ...]:
        benchmark = self._components.space.benchmark()
        if benchmark is None:
            return ()
        return tuple(benchmark.query(architecture, dataset) for dataset in benchmark.datasets)


class _AtWeights(nn.Module):
    """A supernet at fixed architecture weights, as an ordinary network."""

    def __init__(self, supernet: nn.Module, weights: Any) -> None:
        super().__init__()
        self._supernet = supernet
        self._weights = weights

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = self._supernet(x, self._weights)
        assert isinstance(logits, torch.Tensor)
        return logits


def _limited(components: Components, limits: Mapping[str, int]) -> ArchitectureDistribution:
    """Return the distribution that architectures are taken from."""
    distribution = components.distribution
    if not limits:
        return distribution
    return LimitedDistribution(distribution, components.space, limits)
