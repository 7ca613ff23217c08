"""What cheap proxies say of every choice, before a search learns."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from balenas_core.config import InformedPriorConfig
from balenas_core.errors import SelectionError
from balenas_core.interfaces.architecture import Architecture
from balenas_core.interfaces.events import PriorFormed
from balenas_core.interfaces.space import AnySpace, Decision
from balenas_core.random import generator
from balenas_core.scores import Effects, ScoringJob, effects, log_rank_sums

_log = logging.getLogger(__name__)

Floats = NDArray[np.float64]

_TRIES: Final = 20
"""Random draws for each architecture that is wanted: small spaces have fewer different ones."""
_STRONGEST: Final = 5
_MOST_ROUNDS: Final = 12


@dataclass(frozen=True, slots=True)
class InformedPrior:
    """Effects of choices on the rank that proxies give.

    Args:
        effects: Decision -> `slots x choices`-dim effects in standard deviations of the target,
            of mean zero over the choices of a slot that were seen, added up over rounds. Tables
            that weigh edges are left out.
        architectures: How many were scored.
        unconnected: Of how many the result does not depend on the image.
        explained: Share of the target's variance that effects account for in each round.
    """

    effects: Mapping[str, Tensor]
    architectures: int
    unconnected: int
    explained: tuple[float, ...]

    def then(self, other: InformedPrior) -> InformedPrior:
        """Return this with the effects that another round has found added."""
        added = {name: value + other.effects[name] for name, value in self.effects.items()}
        return replace(self, effects=added, explained=self.explained + other.explained)

    def offset(self, scale: float) -> dict[str, Tensor]:
        """Return the means of the logits: ``scale`` times the effects."""
        return {name: scale * value for name, value in self.effects.items()}

    def strongest(self, decisions: Sequence[Decision]) -> tuple[tuple[str, float], ...]:
        """Return the choices of the largest effects, as text, largest first."""
        found = [
            (f"{choice} in {decision.name} {slot}", value)
            for decision in decisions
            if decision.name in self.effects
            for slot, row in zip(decision.slots, self.effects[decision.name].tolist(), strict=True)
            for choice, value in zip(decision.choices, row, strict=True)
        ]
        return tuple(sorted(found, key=lambda pair: -pair[1])[:_STRONGEST])

    def formed(self, decisions: Sequence[Decision], seconds: float) -> PriorFormed:
        """Return the event that tells of it."""
        return PriorFormed(
            self.architectures,
            self.unconnected,
            self.explained[0],
            self.strongest(decisions),
            seconds,
        )

    def record(
        self, decisions: Sequence[Decision], config: InformedPriorConfig, seconds: float
    ) -> dict[str, Any]:
        """Return everything as plain data, for the run's directory."""
        by_name = {d.name: d for d in decisions}
        return {
            "proxies": config.proxies,
            "architectures": self.architectures,
            "unconnected": self.unconnected,
            "scale": config.scale,
            "explained": list(self.explained),
            "strongest": [{"choice": c, "effect": e} for c, e in self.strongest(decisions)],
            "effects": {
                name: {
                    slot: dict(zip(by_name[name].choices, row, strict=True))
                    for slot, row in zip(by_name[name].slots, table.tolist(), strict=True)
                }
                for name, table in self.effects.items()
            },
            "seconds": seconds,
        }


def form_prior(
    job: ScoringJob,
    config: InformedPriorConfig,
    *,
    seed: int,
    report: Callable[[int, int], None],
) -> InformedPrior:
    """Score architectures in rounds, and return the effect of every choice on their rank.

    The first round has random architectures, every other one draws of logits N(mean, 1), whose
    mean are the effects that those before have found, and what it finds is added to them:
    what a choice is worth depends on the others, and matters among those that a search will
    meet. Draws are ranked together with those of the round before, for fewer would be too few to
    tell effects from chance. The target is the sum over proxies of log(rank / n), where rank n
    is the best of n, as in selections. Architectures are scored in their simplest form; those of
    which the result does not depend on the image are the worst.

    Args:
        job: The space, whose networks are scored; its proxies, and a batch.
        config: How many architectures, in how many rounds, and the scale of the effects. Fewer
            are scored where the space has no more, or later rounds draw what earlier ones drew.
        seed: Of the draws.
        report: Called as ``report(done, total)``.

    Raises:
        SelectionError: No proxy has a score for any architecture.
    """
    scorer, draws = _Scorer(job, seed), generator(seed, "architectures")
    total, rounds = config.architectures, _rounds(job.space, config)
    prior: InformedPrior | None = None
    before: list[Architecture] = []
    for number in range(rounds):
        if prior is None:
            source = partial(job.space.random, draws)
        else:
            source = partial(_drawn, job.space, prior.offset(config.scale), draws)
        first, end = (total * n // rounds for n in (number, number + 1))
        drawn = _different(source, end - first, before)
        if not drawn:  # it is sure
            break
        for done, architecture in enumerate(drawn, start=first):
            report(done, total)
            scorer.score(architecture)
        if prior is None:
            scorer.check_first()
        ranked = before + drawn
        found = prior_of(job.space, ranked, scorer.target(ranked))
        prior = found if prior is None else prior.then(found)
        before = drawn
    report(total, total)
    scorer.warn()
    assert prior is not None, "there is at least one round"
    return replace(prior, architectures=scorer.count, unconnected=scorer.unconnected)


def _rounds(space: AnySpace, config: InformedPriorConfig) -> int:
    """Return in how many rounds to score.

    Two rounds are fitted together. With fewer architectures than choices a fit follows chance.
    """
    if config.rounds is not None:
        return max(1, min(config.rounds, config.architectures // 2))
    choices = sum(math.prod(d.shape) for d in space.decisions if not d.weighs_edges)
    return max(1, min(_MOST_ROUNDS, 2 * config.architectures // choices))


class _Scorer:
    """Scores of architectures in their simplest form; what ignores the image is the worst."""

    def __init__(self, job: ScoringJob, seed: int) -> None:
        images = torch.rand(2, *job.task.input_shape, generator=generator(seed, "images"))
        self._job = job
        self._images = images.to(job.batch.images)
        self._known: dict[str, Mapping[str, float] | None] = {}
        self._seen: dict[str, str] = {}
        self._causes: dict[str, str] = {}

    def score(self, architecture: Architecture) -> None:
        """Score an architecture, if none of the same form was."""
        form = self._job.space.simplified(architecture)
        self._seen[str(architecture)] = str(form)
        if str(form) in self._known:
            return
        network = self._job.network(form)
        self._known[str(form)] = None
        if _is_connected(network, self._images):
            scores, errors = self._job.score(network)
            self._causes = errors | self._causes
            self._known[str(form)] = scores

    def target(self, architectures: Sequence[Architecture]) -> Floats:
        """Return how architectures that were scored rank among themselves, larger is better."""
        rows = [self._known[self._seen[str(architecture)]] for architecture in architectures]
        columns = [
            [-math.inf if row is None else row[name] for row in rows] for name in self._job.proxies
        ]
        return np.asarray(log_rank_sums(columns))

    @property
    def count(self) -> int:
        """How many different architectures were scored."""
        return len(self._seen)

    @property
    def unconnected(self) -> int:
        """Of how many the result does not depend on the image."""
        return sum(self._known[form] is None for form in self._seen.values())

    def check_first(self) -> None:
        """Check that there is something to learn from."""
        if any(score != -math.inf for row in self._known.values() if row for score in row.values()):
            return
        reasons = "; ".join(f"{name!r}: {cause}" for name, cause in self._causes.items())
        raise SelectionError(
            f"no architecture has a score for modifiers.informed_prior"
            f"{f' ({reasons})' if reasons else ''}. Choose other proxies with "
            f"--set modifiers.informed_prior.proxies=NAME, or leave it out."
        )

    def warn(self) -> None:
        """Say which proxies have no scores."""
        for name in self._job.proxies:
            failed = sum(row is None or row[name] == -math.inf for row in self._known.values())
            if name in self._causes:
                _log.warning(
                    "proxy %r has no score for %d of %d architectures of the informed prior: %s",
                    name,
                    failed,
                    len(self._known),
                    self._causes[name],
                )
            elif failed == len(self._known):
                _log.warning(
                    "proxy %r gives no architecture of the informed prior a finite score", name
                )


def prior_of(
    space: AnySpace, architectures: Sequence[Architecture], target: Floats
) -> InformedPrior:
    """Return the effects of the choices of architectures on a target.

    Args:
        space: Their space.
        architectures: What was measured.
        target: `architectures`-dim array, larger is better.
    """
    decisions = [d for d in space.decisions if not d.weighs_edges]
    tables = [space.one_hot(architecture) for architecture in architectures]
    features = np.stack(
        [
            torch.cat([table[d.name].flatten() for d in decisions]).double().numpy()
            for table in tables
        ]
    )
    found: Effects = effects(features, target)
    is_seen = torch.from_numpy(features.std(axis=0) > 0)
    sizes = [len(d.slots) * len(d.choices) for d in decisions]
    values = torch.from_numpy(found.values).split(sizes)
    centred = {
        d.name: _centred(value.view(d.shape), seen.view(d.shape)).float()
        for d, value, seen in zip(decisions, values, is_seen.split(sizes), strict=True)
    }
    return InformedPrior(centred, len(architectures), 0, (found.explained,))


def _centred(values: Tensor, is_seen: Tensor) -> Tensor:
    """Return values of mean zero over the choices of a slot that were seen; the others are zero.

    Of what no architecture has, nothing is known: it stays at the middle of the slot.
    """
    counts = is_seen.sum(-1, keepdim=True).clamp_min(1)
    means = torch.where(is_seen, values, 0.0).sum(-1, keepdim=True) / counts
    return torch.where(is_seen, values - means, 0.0)


def _drawn(space: AnySpace, mean: Mapping[str, Tensor], draws: Generator) -> Architecture:
    """Draw an architecture by logits N(mean, 1); those of tables without a mean have zero."""
    weights = {}
    for decision in space.decisions:
        noise = torch.randn(decision.shape, generator=draws)
        logits = noise + mean[decision.name] if decision.name in mean else noise
        weights[decision.name] = torch.softmax(logits, dim=-1)
    architecture: Architecture = space.discretize(weights)
    return architecture


def _different(
    source: Callable[[], Architecture], count: int, known: Sequence[Architecture]
) -> list[Architecture]:
    """Return different architectures that are not known, in the order in which they come.

    They are fewer where the source has no more, or hardly ever.
    """
    seen = {str(architecture) for architecture in known}
    found: list[Architecture] = []
    for _ in range(_TRIES * count):
        architecture = source()
        if str(architecture) not in seen:
            seen.add(str(architecture))
            found.append(architecture)
            if len(found) == count:
                break
    return found


@torch.no_grad()
def _is_connected(network: nn.Module, images: Tensor) -> bool:
    """Whether two images have different results."""
    was_training = network.training
    outputs = network.eval()(images)
    network.train(was_training)
    return not torch.equal(outputs[0], outputs[1])
