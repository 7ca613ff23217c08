"""Selection by short training, under a budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from torch import nn

from balenas_core.errors import UsageError
from balenas_core.interfaces.architecture import Architecture
from balenas_core.interfaces.selection import Measure, Measured, SelectionContext
from balenas_core.plugins.selector_options import PoolOptions, TrainOptions
from balenas_core.random import derive_seed, seeded
from balenas_core.selectors._draws import Draw
from balenas_core.selectors._pool import PoolSelector, Ranking, best_first, failures_of
from balenas_core.selectors._sgd import train_by_sgd

SCORE = "trained_accuracy"


@dataclass(frozen=True, slots=True)
class Rung:
    """One round of successive halving: so many candidates, each trained so many epochs."""

    candidates: int
    epochs: int


def rungs(candidates: int, budget: int, halving: int) -> list[Rung]:
    """Return the rounds of successive halving.

    ``ceil(log_halving(candidates))`` rounds, at least one, share the budget evenly; round k has
    ``ceil(candidates / halving^k)`` candidates, each with
    ``floor(budget / (rounds * candidates_k))`` epochs, but at least one. Where not even one
    epoch each fits, later rounds are left out until it does.

    Args:
        candidates: At least one.
        budget: Epochs of training, of all candidates and rounds together.
        halving: Of so many candidates one goes on.

    References:
        Jamieson and Talwalkar 2016, "Non-stochastic Best Arm Identification and Hyperparameter
        Optimization", AISTATS (successive halving).

    Raises:
        UsageError: The budget is less than one epoch for each candidate.

    Example:
        >>> [(rung.candidates, rung.epochs) for rung in rungs(4, 12, 2)]
        [(4, 1), (2, 3)]
    """
    if budget < candidates:
        raise UsageError(
            f"selector 'train' has {candidates} candidates and a budget of {budget} epochs, less "
            f"than one each; raise train.budget, or let fewer survive the stage before (draws, "
            f"survivors)."
        )
    sizes = [candidates]
    while math.ceil(sizes[-1] / halving) > 1:
        sizes.append(math.ceil(sizes[-1] / halving))
    while True:
        share = budget / len(sizes)
        plan = [Rung(size, max(1, math.floor(share / size))) for size in sizes]
        if sum(rung.candidates * rung.epochs for rung in plan) <= budget:
            return plan
        sizes.pop()


class TrainSelector(PoolSelector):
    """Trains candidates for a few epochs, the better ones longer, and ranks by accuracy.

    Every training starts from fresh weights and lowers its learning rate, epoch by epoch, by a
    cosine over its own number of epochs. Starting over costs at most as much again as going on
    would, and makes a training's result a function of candidate, epochs and seed alone: a search
    that was killed goes on behind the last training, and results of one round compare.

    References:
        Jamieson and Talwalkar 2016, "Non-stochastic Best Arm Identification and Hyperparameter
        Optimization", AISTATS (successive halving). Deviation: rounds start from fresh weights.
    """

    def __init__(self, options: TrainOptions) -> None:
        self._options = options

    @property
    def pool_options(self) -> PoolOptions:
        """How the pool is drawn."""
        return self._options

    def rank(self, pool: Sequence[Draw], context: SelectionContext) -> Ranking:
        """Train the pool, round by round; who leaves later ranks better.

        Raises:
            UsageError: The budget is less than one epoch for each candidate.
        """
        options = self._options
        plan = rungs(len(pool), options.budget, options.halving)
        total = sum(rung.candidates * rung.epochs for rung in plan)
        order = list(range(len(pool)))
        accuracies = [math.nan] * len(pool)
        failures: dict[int, str] = {}
        done = 0
        context.report(done, total)
        for rung in plan:
            # The order within those who left stands; those who stay are ordered anew.
            stay, left = order[: rung.candidates], order[rung.candidates :]
            members = [pool[i] for i in stay]
            found = []
            for measured in context.measured(*self._trainings(members, rung.epochs)):
                found.append(measured)
                done += rung.epochs
                context.report(done, total)
            failures |= {stay[k]: why for k, why in failures_of(found).items()}
            values = [_accuracy(measured) for measured in found]
            for i, value in zip(stay, values, strict=True):
                accuracies[i] = value
            order = [stay[k] for k in best_first(members, values)] + left
        scores: list[dict[str, float]] = [
            {} if i in failures else {SCORE: accuracies[i]} for i in range(len(pool))
        ]
        return Ranking(order, scores, epochs=total, failures=failures)

    def _trainings(
        self, draws: Sequence[Draw], epochs: int
    ) -> tuple[Measure, dict[str, Architecture]]:
        measure = partial(_trained_accuracy, epochs=epochs, options=self._options)
        return measure, {f"train/{epochs}/{d.architecture}": d.architecture for d in draws}


def _trained_accuracy(
    architecture: Architecture,
    context: SelectionContext,
    *,
    epochs: int,
    options: TrainOptions,
) -> Measured:
    network = trained(architecture, epochs, options, context)
    return Measured({SCORE: context.evaluate(network)})


def _accuracy(measured: Measured) -> float:
    """Return what orders a candidate; one that failed or guesses at random is the last."""
    accuracy = measured.scores.get(SCORE, math.nan)
    return -math.inf if math.isnan(accuracy) else accuracy


def trained(
    architecture: Architecture, epochs: int, options: TrainOptions, context: SelectionContext
) -> nn.Module:
    """Return the network of an architecture after some epochs on the training half.

    Args:
        architecture: Built with fresh weights, which depend on the context's seed alone.
        epochs: Passes over the training half, over which the learning rate falls by a cosine.
        options: Learning rate, momentum and weight decay.
        context: Space, images and device.

    Raises:
        UsageError: The context has no training batches.
    """
    batches = context.training_batches
    if batches is None:
        raise UsageError("selector 'train' needs training batches, and its context has none.")
    with seeded(derive_seed(context.seed, "train")):
        network = context.space.network(architecture, context.task)
        network = network.to(device=context.device, dtype=context.batch.images.dtype)
        # One whose loss is not finite ranks by what it is: guessing.
        train_by_sgd(
            network,
            map(batches, range(epochs)),
            rate=lambda epoch, _: 0.5 * options.lr * (1 + math.cos(math.pi * epoch / epochs)),
            momentum=options.momentum,
            weight_decay=options.weight_decay,
        )
    return network
