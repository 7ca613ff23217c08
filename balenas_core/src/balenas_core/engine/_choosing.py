"""From what was learned to one architecture, measured and looked up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from balenas_core.engine._learned import Learned
from balenas_core.engine.clock import Clock
from balenas_core.interfaces.architecture import Architecture
from balenas_core.interfaces.benchmark import BenchmarkEntry
from balenas_core.interfaces.events import ArchitectureSelected, Event, SelectionProgress
from balenas_core.interfaces.result import SearchResult
from balenas_core.interfaces.selection import Selection, SelectionContext, Selector
from balenas_core.interfaces.space import AnySpace
from balenas_core.random import derive_seed, generator
from balenas_core.runs.directory import RunDirectory


class Choosing:
    """Chooses from what a search has learned.

    Args:
        learned: Its distribution, its supernet, and what measures networks.
        selector: Ranks candidates.
        run: Where scores are kept, so that none is computed twice; None to keep none.
        emit: Called with every event.
    """

    def __init__(
        self,
        learned: Learned,
        selector: Selector,
        run: RunDirectory | None,
        *,
        emit: Callable[[Event], None],
    ) -> None:
        self._learned = learned
        self._selector = selector
        self._run = run
        self._emit = emit
        self._clock = Clock()

    def choose(self) -> SearchResult:
        """Select an architecture, and measure it.

        Raises:
            SearchInterrupted: A stop was requested.
        """
        learned = self._learned
        with self._clock.phase("selection"):
            selection = self._select()
        chosen = selection.chosen.architecture
        self._emit(ArchitectureSelected(selection))
        return SearchResult(
            selection=selection,
            validation_accuracy=self._inherited_accuracy(chosen),
            benchmark=look_up(learned.space, chosen),
            metrics=tuple(learned.metrics),
            seconds={"search": learned.seconds, "selection": self._clock.seconds("selection")},
            run=self._run.path if self._run else None,
        )

    def _select(self) -> Selection:
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
        )
        if self._run is None:
            return self._selector.select(context)
        scores = self._run.open_scores(learned.state)

        def seconds() -> float:
            return self._clock.seconds("selection") + scores.reused_seconds

        context = replace(context, remember=scores.remember, seconds=seconds)
        selection = self._selector.select(context)
        self._clock.add({"selection": scores.reused_seconds})
        return selection

    def _inherited_accuracy(self, architecture: Architecture) -> float | None:
        if not self._learned.is_supernet_trained:
            return None
        network = self._learned.space.inherit(self._learned.supernet, architecture)
        return self._learned.measuring.recalibrated_accuracy(network)

    def _report(self, done: int, total: int) -> None:
        self._emit(SelectionProgress(done, total))
        self._learned.stop_if_asked()


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
