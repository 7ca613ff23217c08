"""Mistakes of selectors, planted one at a time: the kit finds each and says what to mend."""

from __future__ import annotations

import contextlib
import random
import statistics
import sys
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from planted import assert_found, faults, held_against

from balenas_core.interfaces.selection import Candidate, Selection, Selector
from balenas_core.interfaces.space import Task
from balenas_core.plugins.selector_options import PoolOptions
from balenas_core.random import generator, seeded
from balenas_core.selectors import PoolSelector, Ranking, best_first
from balenas_core.testing import SelectorConformance

KIT = SelectorConformance
ONE = Task((1, 4, 4), 3)


class Good(Selector):
    """The largest output of a few draws, with weights of their own."""

    def select(self, context):
        space = context.space
        best = context.distribution.argmax(space)
        draws = context.distribution.draw(space, self.count, self.generator(context))
        counts, members = {}, {}
        for number, drawn in enumerate((best, *draws)):
            key = self.key(space, drawn)
            counts[key] = counts.get(key, 0) + (number > 0)
            members.setdefault(key, drawn)
        scores = {}
        for done, (key, member) in enumerate(members.items(), start=1):
            found = context.remember(f"size/{member}", lambda m=member: self.score(m, context))
            scores[key] = dict(found)
            context.report(done, len(members))
        order = sorted(members, key=lambda key: -scores[key]["size"])
        return Selection(
            tuple(
                Candidate(
                    members[key], rank, scores[key], key == space.canonical(best), counts[key]
                )
                for rank, key in enumerate(order, start=1)
            )
        )

    count = 24

    def generator(self, context):
        return context.generator

    def key(self, space, architecture):
        return space.canonical(architecture)

    def score(self, architecture, context):
        with seeded(context.seed):
            network = context.space.network(architecture, context.task)
        with torch.no_grad():
            return {"size": network(context.batch.images).abs().sum().item()}


def having(**members):
    """Return the good selector with other members."""
    return type("Planted", (Good,), members)


def before(body):
    """Return the good selector that does something first."""

    def select(self, context):
        body(context)
        return Good.select(self, context)

    return having(select=select)


def making(change):
    """Return the good selector whose selection is changed."""
    return having(select=lambda self, context: change(Good.select(self, context), context))


def each(**fields):
    """Return the good selector whose candidates have other fields, functions of the old ones."""

    def change(selection, context):
        return replace(
            selection,
            candidates=tuple(
                replace(c, **{key: rule(c) for key, rule in fields.items()})
                for c in selection.candidates
            ),
        )

    return making(change)


def scoring(rule):
    """Return the good selector with another score of an architecture."""
    return having(score=lambda self, architecture, context: {"size": rule(architecture, context)})


class Stage(PoolSelector):
    """Ranks a pool by the number of parameters."""

    pool_options = PoolOptions(draws=8)

    def rank(self, pool, context):
        sizes = [self.size(draw, context) for draw in pool]
        return Ranking(best_first(pool, sizes), [{"size": size} for size in sizes])

    def size(self, draw, context):
        with seeded(context.seed):
            network = context.space.network(draw.architecture, context.task)
        return float(sum(p.numel() for p in network.parameters()))


def staging(rank):
    """Return a stage that ranks in another way."""
    return type("Planted", (Stage,), {"rank": rank})


def _sorted_scores(self, pool, context):
    sizes = [self.size(draw, context) for draw in pool]
    return Ranking(best_first(pool, sizes), [{"size": s} for s in sorted(sizes, reverse=True)])


def _sorts_pool(self, pool, context):
    pool.sort(key=lambda draw: -self.size(draw, context))
    return Ranking(range(len(pool)), [{"size": self.size(draw, context)} for draw in pool])


def _needs_argmax(self, pool, context):
    next(draw for draw in pool if draw.is_argmax)
    return Stage.rank(self, pool, context)


def _needs_two(self, pool, context):
    sizes = [self.size(draw, context) for draw in pool]
    scaled = [size / statistics.stdev(sizes) for size in sizes]
    return Ranking(best_first(pool, scaled), [{"size": size} for size in scaled])


def _loses_one(self, pool, context):
    ranking = Stage.rank(self, pool, context)
    return replace(ranking, order=ranking.order[:-1])


def _orders_itself(self, pool, context):
    return [draw.architecture for draw in pool]


class KeepsCount(Good):
    calls = 0

    def select(self, context):
        self.count = 24 + self.calls
        self.calls += 1
        return Good.select(self, context)


class KeepsPool(Good):
    """Ranks what any search in this process has drawn."""

    pool: ClassVar[dict] = {}
    count = 2

    def select(self, context):
        selection = Good.select(self, context)
        self.pool.update({str(c.architecture): c for c in selection.candidates})
        return Selection(
            tuple(
                replace(c, rank=rank, scores={})
                for rank, c in enumerate(self.pool.values(), start=1)
            )
        )


def _until_ten(context):
    found = set()
    while len(found) < 5:
        found.update(context.distribution.draw(context.space, 1, context.generator))


def _supernet_loss(architecture, context):
    network = context.space.inherit(context.supernet, architecture)
    with torch.no_grad():
        return network(context.batch.images).abs().sum().item()


def _one_key(self, context):
    return Good.select(
        self, replace(context, remember=lambda key, compute: context.remember("size", compute))
    )


def _stubborn(self, context):
    def report(done, total):
        with contextlib.suppress(BaseException):
            context.report(done, total)

    return Good.select(self, replace(context, report=report))


def _trains_supernet(context):
    sgd = torch.optim.SGD(context.supernet.parameters(), lr=0.1)
    weights = context.distribution.mean_weights()
    context.supernet(context.batch.images, weights).sum().backward()
    sgd.step()


def _learns(context):
    with torch.no_grad():
        for parameter in context.distribution.parameters():
            parameter.add_(1)


RANKED = "test_candidates_are_ranked_distinct_and_of_the_space"
FOLLOWS = "test_a_selection_follows_its_generator"
ALONE = "test_supernet_distribution_and_batch_stay_as_they_were"
STAGE = "test_a_stage_ranks_any_pool"
GOES_ON = "test_a_selection_that_goes_on_is_the_same"
MISTAKES = {
    "nothing": (having(select=lambda self, context: None), RANKED, "must return a .*Selection"),
    "an empty selection": (making(lambda s, c: Selection(())), RANKED, "the selection is empty"),
    "an architecture for a selection": (
        making(lambda s, c: s.chosen.architecture), RANKED, "must return a .*Selection",
    ),
    "a list": (making(lambda s, c: Selection(list(s.candidates))), RANKED, "must be a tuple"),
    "ranks from 0": (each(rank=lambda c: c.rank - 1), RANKED, "ranks 1, 2, 3"),
    "worst first": (
        making(lambda s, c: Selection(s.candidates[::-1])), RANKED, "best first",
    ),
    "ranked in no order of its scores": (
        making(
            lambda s, c: Selection(
                tuple(
                    replace(s.candidates[i], rank=rank)
                    for rank, i in enumerate((1, 0, *range(2, len(s.candidates))), start=1)
                )
            )
        ),
        RANKED,
        "order of its scores",
    ),
    "the same network twice": (
        having(key=lambda self, space, architecture: architecture, count=40), RANKED, "repeat",
    ),
    "texts": (each(architecture=lambda c: str(c.architecture)), RANKED, "is no architecture"),
    "no score of the best": (
        each(scores=lambda c: {} if c.rank == 1 else c.scores), RANKED, "every score that others",
    ),
    "tensors": (each(scores=lambda c: {"size": torch.tensor(1.0)}), RANKED, "must be a float"),
    "NaN": (each(scores=lambda c: {"size": float("nan")}), RANKED, "take -math.inf"),
    "shares of draws": (each(draws=lambda c: c.draws / 7), RANKED, "whole number"),
    "fewer than no draws": (each(draws=lambda c: -1), RANKED, "draws of"),
    "keeps none": (making(lambda s, c: replace(s, keep=0)), RANKED, "keep must be"),
    "one task alone": (
        scoring(
            lambda a, c: c.space.network(a, ONE)(c.batch.images).abs().sum().item()
        ),
        RANKED,
        "context.task",
    ),
    "no argmax": (
        each(is_argmax=lambda c: False), "test_the_argmax_is_marked", "is_argmax of",
    ),
    "the best for the argmax": (
        each(is_argmax=lambda c: c.rank == 1), "test_the_argmax_is_marked", "is_argmax of",
    ),
    "weights from the global generator": (
        having(
            score=lambda self, a, c: {
                "size": c.space.network(a, c.task)(c.batch.images).abs().sum().item()
            }
        ),
        FOLLOWS,
        "seed what takes no generator",
    ),
    "numpy's random numbers": (
        scoring(lambda a, c: np.random.rand()), FOLLOWS, "context.generator alone",  # noqa: NPY002
    ),
    "Python's random numbers": (
        scoring(lambda a, c: random.random()), FOLLOWS, "context.generator alone",
    ),
    "a generator of its own": (
        having(generator=lambda self, context: generator(0)),
        "test_other_seeds_draw_others",
        "draw from context.generator",
    ),
    "counts its calls": (KeepsCount, FOLLOWS, "keep nothing between calls"),
    "a pool in the class": (
        KeepsPool, "test_a_selection_depends_on_its_context_alone", "keep nothing",
    ),
    "another score when it goes on": (
        scoring(lambda a, c: torch.rand((), generator=c.generator).item()),
        GOES_ON,
        "draw from no generator",
    ),
    "one key for all": (having(select=_one_key), GOES_ON, "key of its own"),
    "remembers tensors": (
        having(score=lambda self, a, c: {"size": torch.tensor(1.0)}), GOES_ON, "numbers by name",
    ),
    "trains the supernet": (before(_trains_supernet), ALONE, "the supernet as it was"),
    "leaves the supernet in evaluation": (
        before(lambda c: c.supernet.eval()), ALONE, "put modes back",
    ),
    "changes the distribution": (before(_learns), ALONE, "the distribution as it was"),
    "changes the images": (before(lambda c: c.batch.images.mul_(2)), ALONE, "batch's images"),
    "changes the labels": (before(lambda c: c.batch.labels.zero_()), ALONE, "batch's labels"),
    "freezes the supernet": (
        before(lambda c: c.supernet.requires_grad_(False)), ALONE, "requires_grad",
    ),
    "shares for progress": (
        before(lambda c: c.report(0.5, 1)), "test_progress_is_reported_in_order", "whole numbers",
    ),
    "more than all": (
        before(lambda c: c.report(3, 2)), "test_progress_is_reported_in_order", "0..total",
    ),
    "progress that goes back": (
        before(lambda c: (c.report(2, 4), c.report(1, 4))),
        "test_progress_is_reported_in_order",
        "went back",
    ),
    "cannot be stopped": (
        having(select=_stubborn), "test_it_can_be_stopped", "let it through",
    ),
    "needs images that are not there": (
        before(lambda c: next(c.training_batches(0))),
        "test_what_it_lacks_is_said_in_an_error",
        "UsageError",
    ),
    "ranks by weights that nobody trained": (
        scoring(_supernet_loss),
        "test_what_it_lacks_is_said_in_an_error",
        "is_supernet_trained",
    ),
    "draws until it has enough": (
        before(_until_ten), "test_a_distribution_that_is_sure_is_no_error", "a fixed number",
    ),
    "seeds torch": (
        before(lambda c: torch.manual_seed(0)), "test_it_seeds_nothing", "manual_seed|seeded",
    ),
    "gradients off for all": (
        before(lambda c: torch.set_grad_enabled(False)), RANKED, "gradient mode",
    ),
    "double precision for all": (
        before(lambda c: torch.set_default_dtype(torch.float64)), RANKED, "dtype",
    ),
    "prints": (
        before(lambda c: sys.stdout.write("best")), "test_leaves_the_process_as_it_was", "print",
    ),
    "not a selector": (lambda: print, RANKED, "Selector"),
    "a stage that does not say so": (Stage, "test_a_stage_is_declared_as_one", "stage"),
}  # fmt: skip
STAGES = {
    "scores in the order of ranks": (staging(_sorted_scores), r"scores\[i\]"),
    "a pool that it sorts": (staging(_sorts_pool), "leave the pool"),
    "needs the argmax": (staging(_needs_argmax), "without the argmax"),
    "needs two": (staging(_needs_two), "pool of 1 "),
    "loses a member": (staging(_loses_one), "each once"),
    "no ranking": (staging(_orders_itself), "must return a Ranking"),
}


def test_a_good_selector_passes(tmp_path):
    assert faults(held_against(KIT, Good), tmp_path) == {}


def test_a_good_stage_passes(tmp_path):
    assert faults(held_against(KIT, Stage, provides=("stage",)), tmp_path) == {}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_and_explained(mistake, tmp_path):
    implementation, *expected = MISTAKES[mistake]
    KeepsPool.pool.clear()
    assert_found(held_against(KIT, implementation), *expected, tmp_path)


@pytest.mark.parametrize("mistake", STAGES)
def test_a_mistake_of_a_stage_is_found_and_explained(mistake, tmp_path):
    implementation, message = STAGES[mistake]
    kit = held_against(KIT, implementation, provides=("stage",))
    assert_found(kit, "test_a_stage_ranks_any_pool", message, tmp_path)
