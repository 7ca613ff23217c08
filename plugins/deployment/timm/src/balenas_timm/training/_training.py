"""A training from its configuration to its result."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch

from balenas_core.config import dump_yaml, load_settings
from balenas_core.engine.device import cpu_threads, use_default_threads
from balenas_core.engine.processes import Processes, join, losses_told
from balenas_core.errors import ConfigChangedError, DamagedError
from balenas_core.interfaces.dataset import ImageDataset
from balenas_core.interfaces.events import SearchFailed
from balenas_core.interfaces.space import AnySpace
from balenas_core.plugins.registry import Registry, default_registry
from balenas_core.random import derive_seed, seeded
from balenas_core.runs import environment
from balenas_core.runs.checkpoints import Checkpoint
from balenas_core.runs.directory import RESULT, RunDirectory
from balenas_core.runs.opening import Opening, Todo, misfit_of, open_run, reject
from balenas_core.runs.resume import Resume, changes_between, listed
from balenas_core.runs.stored import read_stored
from balenas_core.runs.used_plugins import used_plugin
from balenas_timm.recipes import TRAINING, TrainingJob
from balenas_timm.training._events import Event, Listener
from balenas_timm.training._result import TrainingResult
from balenas_timm.training._session import Session

_log = logging.getLogger(__name__)


class Training:
    """Trains one network from scratch.

    Under ``torchrun`` several processes share every batch; the first one reads and writes the
    directory.

    Args:
        job: What to train, and how.
        registry: Where plugins are looked up; the process's own by default.
        listeners: Called with every event, in order, in the first process; an exception in one
            ends the training.

    Example:
        >>> from balenas_timm import TrainingJob, Training  # doctest: +SKIP
        >>> result = Training(TrainingJob(architecture="DARTS_V2", space="darts")).run()
    """

    def __init__(
        self,
        job: TrainingJob,
        *,
        registry: Registry | None = None,
        listeners: Sequence[Listener] = (),
    ) -> None:
        self.job = job
        self._registry = registry or default_registry()
        self._listeners = list(listeners)
        self._is_stop_requested = False

    def request_stop(self) -> None:
        """Ask a running training to save its state and stop; safe in signal handlers."""
        self._is_stop_requested = True

    def run(self, *, resume: Resume = "never") -> TrainingResult:
        """Run the training.

        Where the directory holds a training that is done, its result is read; there are no events.

        Args:
            resume: What to do where the output holds a training: ``"never"`` refuses it,
                ``"allow"`` goes on with it, ``"must"`` insists on one. On the CPU, one that was
                killed and goes on ends in the result, the metrics and the weights of an
                uninterrupted one.

        Raises:
            UsageError: The job asks for something that cannot be done.
            ConfigChangedError: The output's training has another configuration.
            RunLockedError: Another process works in the directory.
            DivergenceError: A loss became non-finite; the directory keeps the last checkpoint.
            OutputError: The directory cannot be written; its last checkpoint is intact.
            SearchInterrupted: A stop was requested.
        """
        job = self.job
        try:
            own = join(job.device)
            with cpu_threads(job.threads), seeded(derive_seed(job.seed, "global")):
                opening = own.first(
                    lambda: open_run(job, resume, self._refuse_changes, kind=TRAINING)
                )
                with (
                    opening or nullcontext(),
                    losses_told(own, is_stop_requested=lambda: self._is_stop_requested),
                ):
                    return self._run(opening, own)
        finally:
            self._is_stop_requested = False

    def _run(self, opening: Opening | None, own: Processes) -> TrainingResult:
        """Train; only the first process has an opening."""
        job = self.job
        done = own.share(own.first(lambda: _result_of(opening)))
        if done is not None:
            return done
        session = self._session(opening, own)
        run = None if opening is None else opening.run
        try:
            # Every process must come by here: the others wait for the first.
            run = own.first(lambda: _opened(opening, job, own, self._registry))
            result = session.run(run)
            if run is not None:
                run.write_status("done")
            return result
        except BaseException as error:
            if run is not None:
                run.record_failure(SearchFailed(error))
            raise
        finally:
            session.close()
            if run is not None:
                run.release()

    def _session(self, opening: Opening | None, own: Processes) -> Session:
        """Return a session at the newest checkpoint that fits; nothing is written."""
        job = self.job
        space: AnySpace = self._build("space", job.space)
        # What the first process downloads, the others find.
        dataset: ImageDataset = own.first(lambda: self._build("dataset", job.data)) or self._build(
            "dataset", job.data
        )
        if job.threads is None:
            recorded = own.share(None if opening is None else opening.threads)
            if recorded is None:
                use_default_threads(dataset.input_shape)
            else:
                torch.set_num_threads(recorded)
        while True:
            checkpoint = None if opening is None else opening.checkpoint
            state = own.share(None if checkpoint is None else checkpoint.state)
            # A new one for each checkpoint: one that does not fit leaves nothing behind.
            session = Session(
                job,
                space,
                space.parse(job.architecture),
                dataset,
                registry=self._registry,
                processes=own,
                emit=self._emit if own.is_first else _ignore,
                is_stop_requested=lambda: self._is_stop_requested,
            )
            misfit = None if state is None else misfit_of(session.resume, state)
            if not own.any(misfit is not None):
                return session
            session.close()
            own.first(partial(reject, opening, misfit))

    def _refuse_changes(
        self, run: RunDirectory, checkpoint: Checkpoint | None, free: frozenset[str]
    ) -> None:
        del checkpoint
        path = run.path / TRAINING.config
        stored = load_settings(TrainingJob, path, registry=self._registry)
        changes = changes_between(
            stored.model_dump(mode="json"), self.job.model_dump(mode="json"), free
        )
        if changes:
            raise ConfigChangedError(
                f"training {run.path} was started with other settings:\n"
                f"{listed(changes, 'training')}\ngo on without these changes, or train in another "
                f"directory, with --output."
            )

    def _build(self, kind: str, section: Any) -> Any:
        return self._registry.find(kind, section.name).build(section.options)

    def _emit(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)


def train(
    job: TrainingJob,
    *,
    registry: Registry | None = None,
    listeners: Sequence[Listener] = (),
    resume: Resume = "never",
) -> TrainingResult:
    """Train one network from scratch: ``Training(job, ...).run(resume=resume)``.

    Example:
        >>> from balenas_timm import train, training_job  # doctest: +SKIP
        >>> job = training_job("runs/mine", overrides={"training.epochs": 5})
        >>> train(job).test_accuracy
        95.8
    """
    return Training(job, registry=registry, listeners=listeners).run(resume=resume)


def _ignore(event: Event) -> None:
    del event


def _opened(
    opening: Opening | None, job: TrainingJob, own: Processes, registry: Registry
) -> RunDirectory | None:
    """Return the directory to write to: the one that is there, or a new one."""
    assert opening is not None, "the first process has opened it"
    if opening.todo is Todo.BEGIN:
        return _new_run(job, own, registry)
    settings = job.model_dump(mode="json")
    opening.reopen(dump_yaml(settings), settings)
    _warn_of_other_count(opening.run, own)
    return opening.run


def _warn_of_other_count(run: RunDirectory | None, own: Processes) -> None:
    before = 1 if run is None else run.read_environment().get("processes", 1)
    if before != own.count:
        _log.warning(
            "this training was started with %s process%s and goes on with %d: mixup, dropout and "
            "drop path draw other numbers, and its result differs from an uninterrupted one",
            before,
            "" if before == 1 else "es",
            own.count,
        )


def _new_run(job: TrainingJob, own: Processes, registry: Registry) -> RunDirectory | None:
    if job.output is None:
        return None
    settings = job.model_dump(mode="json")
    plugins = [
        used_plugin(kind, section.name, registry)
        for kind, section in (("space", job.space), ("dataset", job.data))
    ]
    # A job may be made without one, or where it is not installed.
    if job.preset is not None and registry.has("recipe", job.preset):
        plugins.append(used_plugin("recipe", job.preset, registry))
    machine = environment.describe(str(own.device), torch.get_num_threads(), plugins)
    return RunDirectory.create(
        job.output,
        config_yaml=dump_yaml(settings),
        environment={**machine, "processes": own.count},
        config=settings,
        keep=job.checkpoint.keep,
        kind=TRAINING,
    )


def _result_of(opening: Opening | None) -> TrainingResult | None:
    """Return the result of a training that is done; None of one that is not."""
    if opening is None or opening.todo is not Todo.NOTHING:
        return None
    run = opening.run
    assert run is not None, "there is something to read"
    path = run.path / RESULT
    remedy = f"Remove it and status.json; '{TRAINING.resume} {run.path}' then makes it anew."
    try:
        return TrainingResult.from_dict(read_stored(path, TrainingResult, remedy), run.path)
    except FileNotFoundError as error:
        raise DamagedError(f"{path} is missing. {remedy}") from error
