"""Regularised evolution over a benchmark or a supernet."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import torch

from balenas_core import Architecture, Selection, SelectionContext, Selector
from balenas_optimizer_baselines._evaluated import Evaluated, proposal
from balenas_optimizer_baselines._options import EvolutionOptions


class EvolutionSelector(Selector):
    """Mutates the best of a random tournament; the oldest of the population dies.

    Evolution yields an architecture, not a distribution, so it is a selector: it comes after
    the supernet is trained (optimizer ``random`` with ``train_supernet``, or any other) and
    evaluates by inherited weights; or it asks a benchmark and needs no supernet.

    References:
        Real et al. 2019, "Regularized Evolution for Image Classifier Architecture Search",
        AAAI, algorithm 1; the defaults of population and tournament are those of
        NAS-Bench-201's baseline. With a ``brood`` of one, the default, it is that algorithm;
        larger ones are bred from one population, so that workers can share them.
    """

    def __init__(self, options: EvolutionOptions) -> None:
        self._options = options

    def select(self, context: SelectionContext) -> Selection:
        """Return everything that was evaluated, best first."""
        options = self._options
        evaluated = Evaluated(context, options)
        population: deque[tuple[Architecture, float]] = deque(maxlen=options.population)

        def founder() -> Architecture:
            architecture: Architecture = context.space.random(context.generator)
            return architecture

        def child() -> Architecture:
            return self._child(population, context)

        done = 0
        while done < options.evaluations:
            # The founders know nothing of one another, nor do the children of one brood.
            is_founding = done < options.population
            size = options.population - done if is_founding else options.brood
            brood = [
                proposal(founder if is_founding else child, context)
                for _ in range(min(size, options.evaluations - done))
            ]
            population.extend(zip(brood, evaluated.values(brood), strict=True))
            done += len(brood)
        return evaluated.selection()

    def _child(
        self, population: Sequence[tuple[Architecture, float]], context: SelectionContext
    ) -> Architecture:
        order = torch.randperm(len(population), generator=context.generator)
        rivals = [population[i] for i in order[: self._options.tournament].tolist()]
        parent, _ = max(rivals, key=lambda rival: rival[1])
        child: Architecture = context.space.mutate(parent, context.generator)
        return child
