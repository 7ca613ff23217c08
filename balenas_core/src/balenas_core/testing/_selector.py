"""Checks of selectors."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from balenas_core.distributions import PointDistribution
from balenas_core.errors import BalenasError
from balenas_core.interfaces.architecture import Architecture
from balenas_core.interfaces.selection import Candidate, Selection, SelectionContext, Selector
from balenas_core.interfaces.space import Task
from balenas_core.plugins.builtin import PointOptions
from balenas_core.random import generator
from balenas_core.selectors import PoolSelector
from balenas_core.testing._module_state import ModuleState, same
from balenas_core.testing._plugin import PluginConformance
from balenas_core.testing._toy import ToySpace, toy_context

_TASKS = (Task((1, 4, 4), 3), Task((3, 6, 8), 5))


class SelectorConformance(PluginConformance):
    """A selection is ranked from one, without duplicates, and follows its generator."""

    kind = "selector"
    base = Selector
    may_draw = True  # building a network does, and every one is built from a seed

    def context(self, seed: int = 0, task: Task = _TASKS[0]) -> SelectionContext:
        """Return what the selector is handed: nine toy networks, and a supernet of them."""
        return toy_context(_point(), seed=seed, task=task)

    def select(self, context: SelectionContext) -> Selection:
        """Select with a new selector."""
        selector: Selector = self.build()
        selection = selector.select(context)
        assert isinstance(selection, Selection), (
            f"select() must return a balenas_core.Selection; got {selection!r}"
        )
        return selection

    def use(self) -> None:
        """Select once."""
        self.select(self.context())

    def test_candidates_are_ranked_distinct_and_of_the_space(self) -> None:
        for task in _TASKS:
            selection = self.select(self.context(task=task))
            found = selection.candidates
            assert isinstance(found, tuple), f"candidates must be a tuple; got {found!r}"
            assert found, "the selection is empty; return at least one candidate"
            ranks = [c.rank for c in found]
            assert ranks == list(range(1, len(found) + 1)), (
                f"candidates must stand best first, with ranks 1, 2, 3, ...; got {ranks}"
            )
            space = ToySpace()
            for candidate in found:
                _check_candidate(candidate, space)
            forms = [space.canonical(c.architecture) for c in found]  # type: ignore[arg-type]
            repeated = sorted({str(f) for f in forms if forms.count(f) > 1})
            assert not repeated, f"candidates repeat {repeated}; compare by space.canonical"
            assert selection.keep >= 1, f"keep must be at least 1; got {selection.keep}"
            assert selection.kept, "kept is empty"
            columns = [set(c.scores) for c in found]
            assert all(columns[0] >= column for column in columns), (
                f"the best candidate must have every score that others have; got {columns}"
            )

    def test_the_argmax_is_marked(self) -> None:
        context = self.context()
        space = ToySpace()
        best = space.canonical(context.distribution.argmax(space))
        for candidate in self.select(context).candidates:
            is_best = space.canonical(candidate.architecture) == best  # type: ignore[arg-type]
            assert candidate.is_argmax == is_best, (
                f"is_argmax of {candidate.architecture} must be {is_best}: it says whether the "
                f"candidate is distribution.argmax(space)"
            )

    def test_a_selection_follows_its_generator(self) -> None:
        torch.manual_seed(1)
        first = self.select(self.context()).candidates
        torch.manual_seed(2)
        again = self.select(self.context()).candidates
        assert _comparable(first) == _comparable(again), (
            "equal contexts gave different selections: draw from context.generator alone, and seed "
            "what takes no generator with balenas_core.random.seeded(context.seed)"
        )
        selector: Selector = self.build()
        for _ in range(2):
            found = selector.select(self.context()).candidates
            assert _comparable(found) == _comparable(first), (
                "a selector that is used twice gives another selection; keep nothing between calls"
            )

    def test_a_selection_that_goes_on_is_the_same(self) -> None:
        memory: dict[str, Mapping[str, float]] = {}
        first = self.select(replace(self.context(), remember=_remembering(memory)))
        for key, values in memory.items():
            assert isinstance(key, str), f"keys of remember must be texts; got {key!r}"
            assert all(isinstance(v, float | int) for v in values.values()), (
                f"remember({key!r}) holds {values!r}; numbers by name, so that they can be stored"
            )
        again = self.select(replace(self.context(), remember=_remembering(dict(memory))))
        assert _comparable(first.candidates) == _comparable(again.candidates), (
            "with what was remembered the selection is another: let compute draw from no "
            "generator of the context, and use what remember() returns"
        )

    def test_supernet_distribution_and_batch_stay_as_they_were(self) -> None:
        context = self.context()
        images, labels = context.batch.images.clone(), context.batch.labels.clone()
        states = {
            "the supernet": ModuleState(context.supernet),
            "the distribution": ModuleState(context.distribution),
        }
        self.select(context)
        for what, state in states.items():
            changes = state.changes()
            assert not changes, (
                f"select() must leave {what} as it was; changed: {changes[:4]}. Work on copies "
                f"(space.inherit makes one), and put modes back"
            )
        assert same(context.batch.images, images), "select() changes the batch's images"
        assert same(context.batch.labels, labels), "select() changes the batch's labels"

    def test_progress_is_reported_in_order(self) -> None:
        reports: list[tuple[Any, Any]] = []
        self.select(replace(self.context(), report=lambda *pair: reports.append(pair)))
        for done, total in reports:
            assert isinstance(done, int), f"report(done, total) takes whole numbers; got {done!r}"
            assert isinstance(total, int), f"report(done, total) takes whole numbers; got {total!r}"
            assert 0 <= done <= total, f"report({done}, {total}): done must lie in 0..total"
        for (before, total), (after, next_total) in itertools.pairwise(reports):
            assert total != next_total or before <= after, (
                f"progress went back from {before} to {after} of {total}"
            )

    def test_what_it_lacks_is_said_in_an_error(self) -> None:
        bare = replace(
            self.context(),
            training_batches=None,
            validation_batches=None,
            evaluate_loss=None,
            divide=None,
            is_supernet_trained=False,
        )
        try:
            selection = self.select(bare)
        except BalenasError as error:
            assert str(error).strip(), "say in the error what is missing, and what to do"
        except Exception as error:
            raise AssertionError(
                f"where a search has no further batches and no trained supernet, raise a "
                f"balenas_core.errors.UsageError that says so; got {type(error).__name__}: {error}"
            ) from error
        else:
            assert selection.candidates, "the selection is empty"

    def test_a_stage_is_declared_as_one(self) -> None:
        selector: Selector = self.build()
        declared = "stage" in self.ref().load().provides
        assert isinstance(selector, PoolSelector) == declared, (
            "provides=('stage',) is what a balenas_core.selectors.PoolSelector declares, which "
            "ranks a pool that others have drawn, and no other selector"
        )
        if isinstance(selector, PoolSelector):
            assert selector.pool_options.draws >= 1


def _check_candidate(candidate: Candidate, space: ToySpace) -> None:
    assert isinstance(candidate, Candidate), f"candidates must be Candidates; got {candidate!r}"
    architecture = candidate.architecture
    assert isinstance(architecture, Architecture), f"{architecture!r} is no architecture"
    assert space.parse(str(architecture)) == architecture, f"{architecture} is not of the space"
    assert isinstance(candidate.draws, int), (
        f"draws must be a whole number; got {candidate.draws!r}"
    )
    assert candidate.draws >= 0, f"draws of {architecture} is {candidate.draws}"
    for name, score in candidate.scores.items():
        assert isinstance(score, float | int), (
            f"score {name!r} of {architecture} must be a float; got {type(score).__name__}"
        )
        assert not math.isnan(score), f"score {name!r} of {architecture} is NaN; take -math.inf"


def _comparable(candidates: tuple[Candidate, ...]) -> list[Any]:
    return [(c.architecture, c.rank, dict(c.scores), c.is_argmax, c.draws) for c in candidates]


def _remembering(
    memory: dict[str, Mapping[str, float]],
) -> Callable[[str, Callable[[], Mapping[str, float]]], Mapping[str, float]]:
    def remember(key: str, compute: Callable[[], Mapping[str, float]]) -> Mapping[str, float]:
        if key not in memory:
            memory[key] = compute()
        return memory[key]

    return remember


def _point() -> PointDistribution:
    return PointDistribution(PointOptions(), decisions=ToySpace().decisions, generator=generator(0))
