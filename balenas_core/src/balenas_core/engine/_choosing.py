"""From what was learned to one architecture, measured and looked up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from balenas_core.engine._candidates import Candidates
from balenas_core.engine._checking import check
from balenas_core.engine._fitness import check_selection
from balenas_core.engine._learned import Learned
from balenas_core.engine._together import shared_context
from balenas_core.engine.clock import Clock
from balenas_core.engine.processes import Processes
from balenas_core.interfaces.architecture import Architecture
from balenas_core.interfaces.benchmark import BenchmarkEntry
from balenas_core.interfaces.events import ArchitectureSelected, Event, SelectionProgress
from balenas_core.interfaces.executor import Executor
from balenas_core.interfaces.result import Check, SearchResult
from balenas_core.interfaces.selection import SelectionContext, Selector
from balenas_core.interfaces.space import AnySpace
from balenas_core.plugins.foreign import foreign_code
from balenas_core.random import derive_seed, generator
from balenas_core.runs.directory import RunDirectory


class Choosing:
    """Chooses from what a search has learned.

    Args:
        learned: Its distribution, its supernet, and what measures networks.
        selector: Ranks candidates.
        executor: Where candidates are measured.
        run: Where scores are kept, so that none is computed twice; None to keep none.
        who: What messages call the selector.
        check_epochs: Epochs for which the choice and a uniform draw are trained; 0 for none.
        emit: Called with every event.
        processes: Those that choose together: all of them take the same way, by the numbers of
            the first.
    """

    def __init__(
        self,
        learned: Learned,
        selector: Selector,
        executor: Executor,
        run: RunDirectory | None,
        *,
        who: str,
        check_epochs: int,
        emit: Callable[[Event], None],
        processes: Processes,
    ) -> None:
        self._processes = processes
        self._learned = learned
        self._selector = selector
        self._executor = executor
        self._run = run
        self._who = who
        self._check_epochs = check_epochs
        self._emit = emit
        self._clock = Clock()
        self._scores = None if run is None else run.open_scores(learned.state)

    def choose(self) -> SearchResult:
        """Select an architecture, and measure it.

        Raises:
            SearchInterrupted: A stop was requested.
        """
        learned = self._learned
        self._note("selection", 0, 0)
        with Candidates(self._executor, self._scores, learned.stop_if_asked) as candidates:
            context = self.context()
            if self._processes.count == 1:
                context = replace(context, execute=candidates.execute)
                candidates.open(context)  # what its engine does to this process is no selector's
            with self._clock.phase("selection"):
                with foreign_code(self._who, "while it selected", draws=True):
                    selection = self._selector.select(context)
                check_selection(selection, learned.space)
            self._count_remembered("selection")
            chosen = selection.chosen.architecture
            self._emit(ArchitectureSelected(selection))
            checked = self._check(chosen, context) if self._check_epochs else None
        phases = ("selection", "check") if checked is not None else ("selection",)
        return SearchResult(
            selection=selection,
            validation_accuracy=self._inherited_accuracy(chosen),
            benchmark=look_up(learned.space, chosen),
            metrics=tuple(learned.metrics),
            seconds={"search": learned.seconds} | {p: self._clock.seconds(p) for p in phases},
            run=self._run.path if self._run else None,
            check=checked,
        )

    def _check(self, chosen: Architecture, context: SelectionContext) -> Check | None:
        context = replace(context, report=partial(self._report, phase="check"))
        with self._clock.phase("check"):
            checked = check(chosen, self._check_epochs, context, seed=self._learned.seed)
        self._count_remembered("check")
        return checked

    def context(self) -> SelectionContext:
        """Return what the selector may look at."""
        learned, measuring = self._learned, self._learned.measuring
        context = SelectionContext(
            space=learned.space,
            task=learned.task,
            distribution=learned.distribution,
            supernet=learned.supernet,
            batch=measuring.precision.move(measuring.first_batch()),
            evaluate=measuring.recalibrated_accuracy,
            generator=generator(learned.seed, "selection"),
            seed=derive_seed(learned.seed, "candidates"),
            device=measuring.precision.device,
            report=self._report,
            training_batches=measuring.training_batches,
            validation_batches=measuring.validation_batches,
            is_supernet_trained=learned.is_supernet_trained,
            evaluate_loss=measuring.recalibrated_loss,
            divide=measuring.divided,
        )
        if self._scores is not None:
            context = replace(context, remember=self._scores.remember, seconds=self._seconds)
        if self._processes.count == 1:
            return context
        return shared_context(context, self._processes, self._scores)

    def _seconds(self) -> float:
        spent = 0.0 if self._scores is None else self._scores.reused_seconds
        return self._clock.seconds("selection") + spent

    def _count_remembered(self, phase: str) -> None:
        """Add to a phase what the numbers took that earlier processes have computed for it."""
        if self._scores is not None:
            self._clock.add({phase: self._scores.reused_seconds})
            self._scores.reused_seconds = 0.0

    def _inherited_accuracy(self, architecture: Architecture) -> float | None:
        if not self._learned.is_supernet_trained:
            return None
        network = self._learned.space.inherit(self._learned.supernet, architecture)
        measuring = self._learned.measuring
        return self._processes.of_first(lambda: measuring.recalibrated_accuracy(network))

    def _report(self, done: int, total: int, phase: str = "selection") -> None:
        self._note(phase, done, total)
        self._emit(SelectionProgress(done, total, phase))
        self._learned.stop_if_asked()

    def _note(self, phase: str, done: int, total: int) -> None:
        if self._run is not None:
            self._run.reached(phase, done, total)


def look_up(space: AnySpace, architecture: Architecture) -> tuple[BenchmarkEntry, ...]:
    """Return the real results of an architecture, where its space has a benchmark.

    Raises:
        DataError: The benchmark is damaged.
    """
    benchmark = space.benchmark()
    if benchmark is None:
        return ()
    entries: tuple[BenchmarkEntry, ...] = benchmark.entries(architecture)
    return entries
