"""Selection by short trainings that a small Bayesian model chooses and combines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from balenas_core.interfaces.architecture import Architecture
from balenas_core.interfaces.selection import Measured, SelectionContext
from balenas_core.plugins.selector_options import PoolOptions, RefineOptions
from balenas_core.random import derive_seed
from balenas_core.selectors._alone import loss_alone, recipe_of, worst_loss
from balenas_core.selectors._belief import (
    FIRST,
    Floats,
    Observation,
    believe,
    best_trained,
    first_candidates,
    next_candidate,
)
from balenas_core.selectors._draws import Draw
from balenas_core.selectors._pool import PoolSelector, Ranking, failures_of


class RefineSelector(PoolSelector):
    """Trains candidates one after the other until one is clearly the best, or a budget is spent.

    Where candidates stood in earlier stages is a weak prior of what they are worth; every
    training is an observation with noise, which also says something of candidates that differ
    in few decisions. After six, the one that earlier stages put first and those that differ
    most, the model says whom to train next, again or for the first time. Of the trained ones,
    the largest expected worth is chosen, and ``probability_best`` says how sure that is, as far
    as the short training ranks like the real one. Where the supernet was trained, trainings
    begin with its weights, and are shorter.

    References:
        Russo 2020, "Simple Bayesian Algorithms for Best-Arm Identification", Operations Research.
    """

    def __init__(self, options: RefineOptions) -> None:
        self._options = options

    @property
    def pool_options(self) -> PoolOptions:
        """How the pool is drawn."""
        return self._options

    def rank(self, pool: Sequence[Draw], context: SelectionContext) -> Ranking:
        """Train and rank; those that were never trained come last.

        Raises:
            UsageError: The context has no images to divide, or the supernet to begin with was
                not trained.
        """
        options = self._options
        recipe = recipe_of(options, is_supernet_trained=context.is_supernet_trained)
        evidence, distances = _evidence(pool), _distances(pool, context)
        seed = derive_seed(context.seed, "belief")
        # What earlier stages put first is trained in any case; who follows depends on it.
        first = first_candidates(distances, FIRST)[: options.trainings]
        context.report(0, options.trainings)
        found = self._train(pool, [(i, 0) for i in first], context)
        failures = {first[k]: why for k, why in failures_of(found).items()}
        worst = worst_loss(context.task.num_classes)
        observations = [
            Observation(i, 0, -_loss(m, worst)) for i, m in zip(first, found, strict=True)
        ]
        while len(pool) > 1 and len(observations) < options.trainings:
            belief = believe(evidence, distances, observations, seed=seed)
            if belief.is_best[best_trained(belief, observations)] >= options.confidence:
                break
            context.report(len(observations), options.trainings)
            following = next_candidate(belief)
            number = sum(o.candidate == following for o in observations)
            (measured,) = self._train(pool, [(following, number)], context)
            if measured.failure is not None:
                failures[following] = measured.failure
            observations.append(Observation(following, number, -_loss(measured, worst)))
        context.report(options.trainings, options.trainings)
        ranking = self._ranking(evidence, distances, observations, seed)
        epochs = len(observations) * recipe.epochs
        return replace(ranking, epochs=epochs, failures=failures)

    def _train(
        self,
        pool: Sequence[Draw],
        wanted: Sequence[tuple[int, int]],
        context: SelectionContext,
    ) -> list[Measured]:
        """Train candidates, each for the given time."""
        items = {
            f"refine/{number}/{pool[i].architecture}": (pool[i].architecture, number)
            for i, number in wanted
        }
        found = []
        for measured in context.measured(partial(_measured_loss, options=self._options), items):
            found.append(measured)
            if len(wanted) > 1:
                context.report(len(found), self._options.trainings)
        return found

    def _ranking(
        self,
        evidence: Floats,
        distances: Floats,
        observations: Sequence[Observation],
        seed: int,
    ) -> Ranking:
        size = len(evidence)
        trained: dict[int, list[float]] = {}
        for observation in observations:
            trained.setdefault(observation.candidate, []).append(-observation.value)
        if len(trained) < 2:
            losses = [{"trained_loss": trained[i][0]} if i in trained else {} for i in range(size)]
            return Ranking(sorted(range(size), key=lambda i: i not in trained), losses)
        belief = believe(evidence, distances, observations, seed=seed)
        scores: list[dict[str, float]] = [
            {
                "expected_loss": -float(belief.mean[i]),
                "spread": float(belief.spread[i]),
                "probability_best": float(belief.is_best[i]),
            }
            for i in range(size)
        ]
        for i, losses_of in trained.items():
            scores[i] |= {
                "trained_loss": sum(losses_of) / len(losses_of),
                "trainings": float(len(losses_of)),
            }
        order = sorted(range(size), key=lambda i: (i not in trained, -belief.mean[i], i))
        return Ranking(order, scores)


def _measured_loss(
    item: tuple[Architecture, int], context: SelectionContext, *, options: RefineOptions
) -> Measured:
    architecture, number = item
    return Measured({"loss": loss_alone(architecture, number, options, context)})


def _loss(measured: Measured, worst: float) -> float:
    """Return a loss; what cannot be trained is worth as little as what blows up."""
    return measured.scores.get("loss", worst)


def _evidence(pool: Sequence[Draw]) -> Floats:
    """Return `candidates x stages`-dim normal scores of earlier stages."""
    return np.array([draw.evidence for draw in pool], dtype=np.float64).reshape(len(pool), -1)


@torch.no_grad()
def _distances(pool: Sequence[Draw], context: SelectionContext) -> Floats:
    """Return in how many decisions candidates differ, each in its simplest form."""
    space = context.space
    tables = [space.one_hot(space.simplified(draw.architecture)) for draw in pool]
    rows = torch.stack([torch.cat([t.flatten() for t in table.values()]) for table in tables])
    return (0.5 * torch.cdist(rows.double(), rows.double(), p=1)).numpy()
