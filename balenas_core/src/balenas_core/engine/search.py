"""A search from configuration to result."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

import torch

from balenas_core.config import SearchConfig, to_yaml
from balenas_core.engine._choosing import Choosing, look_up
from balenas_core.engine._fitness import check_components, naming
from balenas_core.engine._learned import Learned
from balenas_core.engine._learning import Learning
from balenas_core.engine._trackers import Trackers
from balenas_core.engine.bilevel import Precision
from balenas_core.engine.components import DTYPES, build_components
from balenas_core.engine.device import cpu_threads, find_device, use_default_threads
from balenas_core.engine.processes import Processes, join, losses_told
from balenas_core.interfaces.events import (
    ArchitectureSelected,
    EpochEnded,
    Event,
    Listener,
    RunFinished,
    SearchFailed,
    SearchStarted,
    detached,
)
from balenas_core.interfaces.executor import Executor
from balenas_core.interfaces.result import SearchResult
from balenas_core.interfaces.selection import Selector
from balenas_core.interfaces.space import AnySpace
from balenas_core.plugins.foreign import contained
from balenas_core.plugins.hooks import Hooks
from balenas_core.plugins.registry import Registry, default_registry
from balenas_core.random import derive_seed, seeded
from balenas_core.runs import environment
from balenas_core.runs.checkpoints import Checkpoint
from balenas_core.runs.directory import RESULT, RunDirectory
from balenas_core.runs.opening import (
    Opening,
    Todo,
    misfit_of,
    open_finished,
    open_run,
    reject,
)
from balenas_core.runs.resume import Resume, as_of_now, refuse_changes, stored_config
from balenas_core.runs.selections import refuse_another, selection_file, write_selection
from balenas_core.runs.stored_result import read_result
from balenas_core.runs.used_plugins import used_plugins, warn_of_other_plugins

_log = logging.getLogger(__name__)

_HOOK_OF: dict[type, str] = {
    SearchStarted: "balenas_search_started",
    EpochEnded: "balenas_epoch_ended",
    ArchitectureSelected: "balenas_architecture_selected",
    SearchFailed: "balenas_search_failed",
    RunFinished: "balenas_run_finished",
}


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What a search is made of."""

    learning: Learning
    selector: Selector
    executor: Executor
    emit: Callable[[Event], None]


class Search:
    """Learns a distribution over architectures and selects one from it.

    Args:
        config: What to search, and how.
        registry: Where plugins are looked up; the process's own by default.
        listeners: Called with every event, in order; an exception in one ends the search.

    Example:
        >>> from balenas_core import Search, SearchConfig  # doctest: +SKIP
        >>> config = SearchConfig(space="nb201", optimizer="ngvi", selector="naswot")
        >>> result = Search(config).run()
        >>> print(result.architecture)
        |nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+...
    """

    def __init__(
        self,
        config: SearchConfig,
        *,
        registry: Registry | None = None,
        listeners: Sequence[Listener] = (),
    ) -> None:
        self.config = config
        self._registry = config.plugins.restricted(registry or default_registry())
        self._listeners = list(listeners)
        self._is_stop_requested = False

    @classmethod
    def of_run(
        cls, run: Path, *, registry: Registry | None = None, listeners: Sequence[Listener] = ()
    ) -> Self:
        """Return the search of a run directory, to go on with ``run(resume="must")``.

        Raises:
            UsageError: There is no run.
            ConfigError: Its configuration cannot be read.
        """
        registry = registry or default_registry()
        return cls(stored_config(run, registry), registry=registry, listeners=listeners)

    def request_stop(self) -> None:
        """Ask a running search to save its state and stop; safe in signal handlers and threads.

        It stops after the step, the batch or the candidate that it is at.
        """
        self._is_stop_requested = True

    def run(self, *, resume: Resume = "never") -> SearchResult:
        """Run the search.

        Where the run directory holds a run that is done, its result is read; no events are sent.

        Args:
            resume: What to do where the output holds a run: ``"never"`` refuses it, ``"allow"``
                goes on with it, ``"must"`` insists on one. On the CPU, a run that was killed and
                goes on ends in the result, the metrics and the weights of an uninterrupted one.
                Its selector may become another until it is done.

        Returns:
            The ranked candidates, metrics and timings.

        Raises:
            UsageError: The configuration asks for something that cannot be done.
            ConfigChangedError: The output's run has another configuration.
            RunLockedError: Another process works in the run directory.
            DivergenceError: A loss became non-finite; the run directory keeps the last
                checkpoint.
            OutputError: The run directory cannot be written; its last checkpoint is intact.
            SearchInterrupted: A stop was requested.
        """
        config = self.config
        try:
            own = join(config.device)
            precision = Precision(own.device, DTYPES[config.precision])
            with losses_told(own, is_stop_requested=lambda: self._is_stop_requested):
                opening = own.first(lambda: open_run(config, resume, self._refuse_changes))
                with opening or nullcontext():
                    done = own.of_first(lambda: self._done(opening))
                    if done is not None:
                        return done
                    with contained(), naming(config, self._registry):
                        return self._run(opening, precision, own)
        finally:
            self._is_stop_requested = False

    def _done(self, opening: Opening | None) -> SearchResult | None:
        """Return the result of a run that is done; None of one that is not."""
        if opening is None or opening.todo is not Todo.NOTHING:
            return None
        assert opening.run is not None, "there is something to read"
        return self._read(opening.run.path, RESULT)

    def _run(self, opening: Opening | None, precision: Precision, own: Processes) -> SearchResult:
        """Search; only the first process has an opening, and a run."""
        config = self.config
        if not own.is_first:  # the first one tells everybody else
            config = config.model_copy(update={"trackers": ()})
        with self._prepared(config, precision, opening, own) as prepared:
            emit = prepared.emit
            run = None
            try:
                # Every process must come by here: the others wait for the first.
                run = own.first(lambda: self._opened(opening, config, precision, own))
                with (
                    contained(),
                    naming(config, self._registry),
                    losses_told(own, is_stop_requested=lambda: self._is_stop_requested),
                ):
                    learned = prepared.learning.learn(run)
                    result = self._choosing(learned, prepared, run, own).choose()
                if run is not None:
                    run.write_json(RESULT, result.to_dict())
                    run.write_status("done")
            except BaseException as error:
                failed = SearchFailed(error)
                if run is not None:
                    run.record_failure(failed)
                emit(failed)
                raise
            finally:
                if run is not None:
                    run.release()
            emit(RunFinished(result))
            return result

    def select(self, name: str | None = None) -> SearchResult:
        """Choose once more from what a finished search has learned, without searching.

        The selector of this configuration gets the distribution and the supernet of the run in
        the output. Its result stands beside the run's own, in ``selections/``, and is read where
        it is there already. What other selections of the run have computed serves this one too.

        Args:
            name: What the selection is called; by default after its selector.

        Returns:
            The ranked candidates, with the metrics of the search.

        Raises:
            UsageError: There is no run, its search is not finished, its checkpoints were
                removed, or the name is that of a selection by another selector.
            ConfigChangedError: More than the selector differs from the run.
            RunLockedError: Another process works in the run directory.
            SearchInterrupted: A stop was requested; the same call goes on.
        """
        # What tracks the search does not track what comes after it.
        config = self.config.model_copy(update={"trackers": ()})
        selector = config.selector.model_dump(mode="json")
        precision = Precision(find_device(config.device), DTYPES[config.precision])
        own = Processes(0, 1, precision.device)
        try:
            with open_finished(config, self._refuse_changes) as opening:
                run = opening.run
                assert run is not None, "what is finished is there"
                file = selection_file(run.path, config.selector.name, name)
                if file.exists():
                    refuse_another(file, selector)
                else:
                    with contained(), naming(config, self._registry):
                        found = self._choose_anew(config, precision, run, opening, own)
                    write_selection(run, file, {"selector": selector, **found.to_dict()})
                return self._read(run.path, str(file.relative_to(run.path)))
        finally:
            self._is_stop_requested = False

    def _choose_anew(
        self,
        config: SearchConfig,
        precision: Precision,
        run: RunDirectory,
        opening: Opening,
        own: Processes,
    ) -> SearchResult:
        with self._prepared(config, precision, opening, own) as prepared:
            learned = prepared.learning.finished(run)
            return self._choosing(learned, prepared, run, own).choose()

    def _choosing(
        self, learned: Learned, prepared: _Prepared, run: RunDirectory | None, own: Processes
    ) -> Choosing:
        return Choosing(
            learned,
            prepared.selector,
            prepared.executor,
            run,
            who=f"selector {self.config.selector.name!r}",
            check_epochs=self.config.check_epochs,
            emit=prepared.emit,
            processes=own,
        )

    @contextmanager
    def _prepared(
        self,
        config: SearchConfig,
        precision: Precision,
        opening: Opening | None,
        own: Processes,
    ) -> Iterator[_Prepared]:
        """Yield what searches, at the newest checkpoint that fits; nothing is written.

        Each checkpoint is loaded into something new, so that one that does not fit leaves nothing
        behind.
        """
        if opening is not None and opening.run is not None:
            warn_of_other_plugins(opening.run.read_environment(), self._registry)
        threads = own.share(None if opening is None else opening.threads)
        with ExitStack() as stack:
            while True:
                with ExitStack() as attempt:
                    checkpoint = own.share(None if opening is None else opening.checkpoint)
                    with own.together("begin the search"):
                        prepared = attempt.enter_context(
                            self._built(config, precision, threads, own)
                        )
                    resume = prepared.learning.resume
                    misfit = None if checkpoint is None else misfit_of(resume, checkpoint)
                    if own.any(misfit is not None):
                        own.first(partial(reject, opening, misfit))
                        continue
                    stack.push(attempt.pop_all())
                break
            yield prepared

    @contextmanager
    def _built(
        self, config: SearchConfig, precision: Precision, threads: int | None, own: Processes
    ) -> Iterator[_Prepared]:
        """Yield the learning, what chooses after it, and what tells everybody of an event."""
        known_threads = config.threads or threads
        with cpu_threads(known_threads), seeded(derive_seed(config.seed, "global")):
            # What the first process downloads, the others find.
            components = own.first(lambda: build_components(config, self._registry))
            components = components or build_components(config, self._registry)
            check_components(components, config, self._registry)
            if known_threads is None:
                use_default_threads(components.task.input_shape)
            emit: Callable[[Event], None] = _ignore
            if own.is_first:
                emit = _Emitter(self._listeners, components.trackers, self._registry.hooks)
            learning = Learning(
                config,
                components,
                precision,
                processes=own,
                emit=emit,
                is_stop_requested=lambda: self._is_stop_requested,
            )
            try:
                # A benchmark that is damaged is better known before the search than after it.
                look_up(components.space, learning.distribution.argmax(components.space))
                components.executor.check()
                yield _Prepared(learning, components.selector, components.executor, emit)
            finally:
                learning.close()
                components.executor.close()

    def _opened(
        self,
        opening: Opening | None,
        config: SearchConfig,
        precision: Precision,
        own: Processes,
    ) -> RunDirectory | None:
        """Return the directory to write to: the one that is there, or a new one."""
        assert opening is not None, "the first process has opened it"
        if opening.todo is Todo.BEGIN:
            return _new_run(config, precision, self._registry, own)
        opening.reopen(to_yaml(config, registry=self._registry), config.model_dump(mode="json"))
        _warn_of_other_count(opening.run, own)
        return opening.run

    def _read(self, run: Path, name: str) -> SearchResult:
        section = self.config.space
        space: AnySpace = self._registry.find("space", section.name).build(section.options)
        return read_result(run, parse=space.parse, name=name)

    def _refuse_changes(
        self, run: RunDirectory, checkpoint: Checkpoint | None, free: frozenset[str]
    ) -> None:
        stored = (
            stored_config(run.path, self._registry).model_dump(mode="json")
            if checkpoint is None
            else as_of_now(checkpoint.state["config"], self._registry)
        )
        refuse_changes(run.path, stored, self.config, free=free)


class _Emitter:
    """Sends events to trackers, hook plugins and listeners."""

    def __init__(self, listeners: Sequence[Listener], trackers: Trackers, hooks: Hooks) -> None:
        self._listeners = listeners
        self._trackers = trackers
        self._hooks = hooks

    def __call__(self, event: Event) -> None:
        self._trackers.handle(event)
        hook = _HOOK_OF.get(type(event))
        if hook is not None:
            self._hooks.call(hook, lambda: {"event": detached(event)})
        # Last, since they may raise: whatever they raise, the others learn of the failure.
        for listener in self._listeners:
            listener(detached(event))


def _ignore(event: Event) -> None:
    del event


def _warn_of_other_count(run: RunDirectory | None, own: Processes) -> None:
    before = 1 if run is None else run.read_environment().get("processes", 1)
    if before != own.count:
        _log.warning(
            "this search was started with %s process%s and goes on with %d: its batches are the "
            "same, noise and statistics of batch normalisation may be others, and so its result",
            before,
            "" if before == 1 else "es",
            own.count,
        )


def _new_run(
    config: SearchConfig, precision: Precision, registry: Registry, own: Processes
) -> RunDirectory | None:
    if config.output is None:
        return None
    plugins = used_plugins(config, registry)
    machine = environment.describe(str(precision.device), torch.get_num_threads(), plugins)
    return RunDirectory.create(
        config.output,
        config_yaml=to_yaml(config, registry=registry),
        environment={**machine, "processes": own.count},
        config=config.model_dump(mode="json"),
        keep=config.checkpoint.keep,
    )
