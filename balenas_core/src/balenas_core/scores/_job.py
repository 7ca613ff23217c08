"""What it takes to score one architecture after another."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from balenas_core.errors import UsageError, is_out_of_memory
from balenas_core.interfaces.architecture import Architecture
from balenas_core.interfaces.proxy import Batch, Proxy
from balenas_core.interfaces.space import AnySpace, Supernet, Task
from balenas_core.nn import memory_as_given
from balenas_core.random import seeded
from balenas_core.scores.formula import fill_by_formula
from balenas_core.scores.network_batch import BatchPassProxy, score_batch
from balenas_core.scores.scoring import score_network

Init = Literal["default", "formula", "supernet"]

_log = logging.getLogger(__name__)

Scores = tuple[dict[str, float], dict[str, str]]
"""Score by proxy, and why by proxy for those that raised."""


@dataclass(frozen=True, slots=True)
class ScoredRow:
    """The scores of one architecture.

    Args:
        architecture: Its text form.
        scored_as: Text form of the network that was scored: its own, or that of the
            representative of all architectures that compute the same.
        scores: Score by proxy; ``-inf`` for one that failed.
        errors: Why, by proxy, for those that raised.
    """

    architecture: str
    scored_as: str
    scores: Mapping[str, float]
    errors: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ScoringJob:
    """Networks of one space, scored on one batch by the same proxies.

    It can be pickled, for other processes, where space and proxies can.

    Args:
        space: The search space.
        task: What networks are built for.
        proxies: Proxy by name.
        batch: Images and labels, on the device where networks are scored.
        init: ``default`` for the space's own initialisation under ``seed``; ``formula`` fills
            weights by ``balenas_core.scores.formula``, with the space's labels if it has some;
            ``supernet`` takes those of one untrained supernet, so that what networks have in
            common has the same weights in all of them.
        seed: Of the initialisation, the same for every network, and of the proxies.
        dtype: Floating-point type of networks and images.
        together: How many networks to run as one program, where the space and a proxy can: they
            need ``init="supernet"``. Memory grows with it; scores differ by round-off.
    """

    space: AnySpace
    task: Task
    proxies: Mapping[str, Proxy]
    batch: Batch
    init: Init = "default"
    seed: int = 0
    dtype: torch.dtype = torch.float32
    together: int = 1

    def __post_init__(self) -> None:
        if self.together > 1 and self.init != "supernet":
            raise UsageError(
                f"{self.together} networks run together only with weights in common; set the "
                f"initialisation to supernet (got {self.init})."
            )

    def scores(
        self, architectures: Iterable[Architecture], supernet: Supernet | None = None
    ) -> Iterator[Scores]:
        """Yield the scores of architectures, in order.

        Args:
            architectures: What to score.
            supernet: What ``supernet`` returned.
        """
        if self.together == 1:
            for architecture in architectures:
                yield self.score(self.network(architecture, supernet))
            return
        assert supernet is not None, "networks together have weights in common"
        source = iter(architectures)
        said: set[str] = set()
        while part := list(itertools.islice(source, self.together)):
            yield from self._score_together(part, supernet, said)

    def score(self, network: nn.Module) -> Scores:
        """Return score by proxy, and why by proxy for those that raised."""
        return self._score(network, self.proxies)

    def _score(self, network: nn.Module, proxies: Mapping[str, Proxy]) -> Scores:
        # Scores by formula are there to be compared digit by digit.
        with memory_as_given() if self.init == "formula" else nullcontext():
            found = score_network(network, self.batch, proxies, seed=self.seed)
        errors = {n: f"{type(error).__name__}: {error}" for n, error in found.errors.items()}
        return dict(found.scores), errors

    def supernet(self) -> Supernet | None:
        """Return what networks have their weights from, if they have any in common."""
        if self.init != "supernet":
            return None
        with seeded(self.seed):
            supernet = self.space.supernet(self.task)
        return supernet.to(self.batch.images.device, self.dtype)

    def network(self, architecture: Architecture, supernet: Supernet | None = None) -> nn.Module:
        """Return the network that is scored, with fresh weights or those of a supernet."""
        if supernet is not None:
            return self.space.inherit(supernet, architecture)
        with seeded(self.seed):
            network = self.space.network(architecture, self.task)
        network = network.to(self.batch.images.device, self.dtype)
        if self.init == "formula":
            fill_by_formula(network, self.space.formula_labels(network))
        return network

    def _score_together(
        self, architectures: Sequence[Architecture], supernet: Supernet, said: set[str]
    ) -> Iterator[Scores]:
        """Score what can be scored in one pass of all networks there, the rest one by one.

        Args:
            architectures: Whose networks run together.
            supernet: Has their weights.
            said: Reasons that were given already; grows.
        """
        networks = self.space.network_batch(supernet, architectures)
        if networks is None:
            raise UsageError(
                f"{type(self.space).__name__} cannot run its networks together; leave it at 1."
            )
        shared = {
            n: proxy for n, proxy in self.proxies.items() if isinstance(proxy, BatchPassProxy)
        }
        try:
            with seeded(self.seed):
                rows = score_batch(networks, self.batch, shared)
        except Exception as error:  # a proxy or a network of a plugin may raise anything
            if is_out_of_memory(error):
                raise
            reason = f"{type(error).__name__}: {error}"
            if reason not in said:
                said.add(reason)
                _log.warning(
                    "%s cannot be computed for %d networks together (%s); they are scored one by "
                    "one, and those that fail alone say why",
                    ", ".join(shared),
                    len(architectures),
                    reason,
                )
            shared, rows = {}, [{} for _ in architectures]
        others = {name: proxy for name, proxy in self.proxies.items() if name not in shared}
        for architecture, row in zip(architectures, rows, strict=True):
            if not others:
                yield row, {}
                continue
            scores, errors = self._score(self.network(architecture, supernet), others)
            yield {n: scores[n] if n in others else row[n] for n in self.proxies}, errors
