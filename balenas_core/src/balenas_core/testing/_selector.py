"""Checks of selectors."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from balenas_core.distributions import PointDistribution
from balenas_core.errors import BalenasError, SearchInterrupted, UnfitError, UsageError
from balenas_core.interfaces.architecture import Architecture
from balenas_core.interfaces.selection import Candidate, Selection, SelectionContext, Selector
from balenas_core.interfaces.space import Task
from balenas_core.plugins.builtin import PointOptions
from balenas_core.random import generator
from balenas_core.selectors import Draw, PoolSelector, check_ranking
from balenas_core.testing._module_state import ModuleState, same
from balenas_core.testing._plugin import PluginConformance
from balenas_core.testing._toy import ToyArchitecture, ToySpace, toy_context

_SEEDS = 8
_MOST_DRAWS = 20_000
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
        try:
            selection = selector.select(context)
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            raise AssertionError(
                f"select() raised {type(error).__name__}: {error}. Take the shape of images and "
                f"the number of classes from context.task, and what there is from the context"
            ) from error
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
            assert _follows_its_scores(found), (
                f"candidates must stand best first; they are ranked in no order of its scores: "
                f"{[dict(c.scores) for c in found]}"
            )
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
        _seed_all(1)
        first = self.select(self.context()).candidates
        _seed_all(2)
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

    def test_other_seeds_draw_others(self) -> None:
        first = self.select(self.context()).candidates
        if not any(candidate.draws for candidate in first):
            return  # it draws nothing
        found = []
        for seed in range(_SEEDS):
            context = replace(self.context(), generator=generator(seed, "another"))
            found.append(sorted((str(c), n) for c, n in _drawn(self.select(context))))
        assert any(one != found[0] for one in found), (
            f"{_SEEDS} generators gave the same draws: draw from context.generator, so that "
            f"searches of other seeds look at others"
        )

    def test_a_selection_depends_on_its_context_alone(self) -> None:
        before = self.select(self.context()).candidates
        for seed in range(1, _SEEDS):
            self.select(self.context(seed=seed))
        after = self.select(self.context()).candidates
        assert _comparable(before) == _comparable(after), (
            "after a selection from another context this one gives something else; keep nothing "
            "in the module or the class. context.remember is for what takes long"
        )

    def test_it_seeds_nothing(self) -> None:
        looks = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            self.select(self.context())
            looks.append(torch.get_rng_state())
        assert not torch.equal(*looks), (
            "select() seeds torch's global generator, for all that comes after it; seed inside of "
            "balenas_core.random.seeded(context.seed), which puts it back, in place of manual_seed"
        )

    def test_it_can_be_stopped(self) -> None:
        def stop(done: int, total: int) -> None:
            raise SearchInterrupted(f"at {done} of {total}")

        reports: list[int] = []
        self.select(replace(self.context(), report=lambda done, total: reports.append(done)))
        if not reports:
            return
        try:
            self.select(replace(self.context(), report=stop))
        except SearchInterrupted:
            return
        raise AssertionError(
            "select() goes on where context.report raises SearchInterrupted, by which a user stops "
            "it; let it through: catch Exception, never BaseException"
        )

    def test_a_distribution_that_is_sure_is_no_error(self) -> None:
        sure = _Sure(PointOptions(), decisions=ToySpace().decisions, generator=generator(0))
        selection = self.select(replace(self.context(), distribution=sure))
        assert selection.candidates, "the selection is empty where every draw is the same"

    def test_a_selection_that_goes_on_is_the_same(self) -> None:
        memory: dict[str, Mapping[str, float]] = {}
        alone, context = self.select(self.context()), self.context()
        first = self.select(replace(context, remember=_remembering(memory, context.generator)))
        assert _comparable(alone.candidates) == _comparable(first.candidates), (
            "with a memory the selection is another: give remember() a key of its own for "
            "everything that is computed, and use what it returns"
        )
        for key, values in memory.items():
            assert isinstance(key, str), f"keys of remember must be texts; got {key!r}"
            assert all(isinstance(v, float | int) for v in values.values()), (
                f"remember({key!r}) holds {values!r}; numbers by name, so that they can be stored"
            )
        context = self.context()
        known = _remembering(dict(memory), context.generator)
        again = self.select(replace(context, remember=known))
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
            other = self.context(seed=1).supernet
            looks = self.select(replace(bare, generator=self.context().generator, supernet=other))
            same_again = replace(bare, generator=self.context().generator)
            assert _comparable(looks.candidates) == _comparable(
                self.select(same_again).candidates
            ), (
                "the selection depends on weights of a supernet that nobody has trained; raise a "
                "balenas_core.errors.UsageError where context.is_supernet_trained is False"
            )

    def test_a_stage_ranks_any_pool(self) -> None:
        if not isinstance(self.build(), PoolSelector):
            return
        context = self.context()
        drawn = [Draw(a, n + 1, is_argmax=False) for n, a in enumerate(_distinct(ToySpace()))]
        rows: list[list[dict[str, float]]] = []
        for pool in (drawn, drawn[::-1], drawn[:1]):
            given = list(pool)
            selector = self.build()
            assert isinstance(selector, PoolSelector), "it was one a moment ago"
            try:
                ranking = selector.rank(given, replace(context, generator=generator(0, "rank")))
                check_ranking(ranking, len(pool))
            except (StopIteration, LookupError, TypeError, ValueError) as error:
                raise AssertionError(
                    f"rank() of a pool of {len(pool)} without the argmax, which an earlier stage "
                    f"may have left out, raised {type(error).__name__}: {error}"
                ) from error
            except BalenasError as error:
                if _is_of_the_context(error):
                    return
                raise AssertionError(f"of a pool of {len(pool)}: {error}") from error
            assert given == pool, "rank() must leave the pool as it is; sort a copy, or positions"
            rows.append([dict(row) for row in ranking.scores])
            assert all(not math.isnan(score) for row in rows[-1] for score in row.values()), (
                f"scores of a pool of {len(pool)} are NaN: {rows[-1]}; take -math.inf"
            )
        is_by_place = rows[0] == rows[1] and rows[0] != rows[0][::-1]
        assert not is_by_place, (
            f"scores[i] must be the scores of pool[i]: a pool and the same in reverse have the "
            f"scores {rows[0]}. order says who is best"
        )

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
    memory: dict[str, Mapping[str, float]], source: torch.Generator
) -> Callable[[str, Callable[[], Mapping[str, float]]], Mapping[str, float]]:
    def remember(key: str, compute: Callable[[], Mapping[str, float]]) -> Mapping[str, float]:
        if key not in memory:
            before = source.get_state()
            memory[key] = compute()
            assert torch.equal(source.get_state(), before), (
                f"what remember({key!r}) computes draws from context.generator, which a search "
                f"that goes on does not do again; let it draw from no generator of the context"
            )
        return memory[key]

    return remember


def _point() -> PointDistribution:
    return PointDistribution(PointOptions(), decisions=ToySpace().decisions, generator=generator(0))


def _seed_all(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (what it must not draw from)
    random.seed(seed)


def _drawn(selection: Selection) -> list[tuple[Architecture, int]]:
    return [(c.architecture, c.draws) for c in selection.candidates]


def _follows_its_scores(candidates: tuple[Candidate, ...]) -> bool:
    """Whether one score alone, if there is but one, rises or falls with the rank."""
    names = {name for c in candidates for name in c.scores}
    if len(names) != 1 or not all(c.scores for c in candidates):
        return True
    (name,) = names
    values = [c.scores[name] for c in candidates]
    pairs = list(itertools.pairwise(values))
    return all(a >= b for a, b in pairs) or all(a <= b for a, b in pairs)


def _distinct(space: ToySpace) -> list[ToyArchitecture]:
    return list({space.canonical(a): a for a in space.architectures()}.values())


def _is_of_the_context(error: BalenasError) -> bool:
    """Whether a selector says that the toy space lacks what it needs, such as a benchmark."""
    return isinstance(error, UsageError) and not isinstance(error, UnfitError)


class _Sure(PointDistribution):
    """Draws one architecture for ever, and tells who waits for another."""

    _asked, _only = 0, None

    @torch.no_grad()
    def draw(self, space: Any, count: int, generator: Any) -> Any:
        """Return the argmax."""
        self._asked += count
        assert self._asked <= _MOST_DRAWS, (
            f"select() drew {self._asked} times from a distribution that is sure of one "
            f"architecture; draw a fixed number of times, and take what there is"
        )
        if self._only is None:
            self._only = self.argmax(space)
        return [self._only] * count
