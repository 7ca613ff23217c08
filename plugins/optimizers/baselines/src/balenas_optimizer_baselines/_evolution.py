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
        NAS-Bench-201's baseline.
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

        for done in range(options.evaluations):
            member = proposal(founder if done < options.population else child, context)
            population.append((member, evaluated(member)))
        return evaluated.selection()

    def _child(
        self, population: Sequence[tuple[Architecture, float]], context: SelectionContext
    ) -> Architecture:
        order = torch.randperm(len(population), generator=context.generator)
        rivals = [population[i] for i in order[: self._options.tournament].tolist()]
        parent, _ = max(rivals, key=lambda rival: rival[1])
        child: Architecture = context.space.mutate(parent, context.generator)
        return child
