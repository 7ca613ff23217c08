"""What cheap proxies say of every choice, before a search learns."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np
import torch
from torch import Generator, Tensor, nn

from balenas_core.config import InformedPriorConfig
from balenas_core.errors import SelectionError
from balenas_core.interfaces.architecture import Architecture
from balenas_core.interfaces.events import PriorFormed
from balenas_core.interfaces.space import AnySpace, Decision
from balenas_core.random import generator
from balenas_core.scores import Effects, ScoringJob, effects, log_rank_sums

_log = logging.getLogger(__name__)

_TRIES: Final = 20
"""Random draws for each architecture that is wanted: small spaces have fewer different ones."""
_STRONGEST: Final = 5


@dataclass(frozen=True, slots=True)
class InformedPrior:
    """Effects of choices on the rank that proxies give.

    Args:
        effects: Decision -> `slots x choices`-dim effects in standard deviations of the target,
            of mean zero over the choices of a slot that were seen. Tables that weigh edges are
            left out.
        architectures: How many were scored.
        unconnected: Of how many the result does not depend on the image.
        explained: Share of the target's variance that effects account for.
    """

    effects: Mapping[str, Tensor]
    architectures: int
    unconnected: int
    explained: float

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
            self.explained,
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
            "explained": self.explained,
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
    job: ScoringJob, count: int, *, seed: int, report: Callable[[int, int], None]
) -> InformedPrior:
    """Score random architectures, and return the effect of every choice on their rank.

    The target is the sum over proxies of log(rank / n), where rank n is the best of n, as in
    selections. Architectures are scored in their simplest form; those of which the result does
    not depend on the image are the worst.

    Args:
        job: The space, its proxies, and a batch.
        count: How many different architectures; fewer where the space has no more.
        seed: Of the draws.
        report: Called as ``report(done, total)``.

    Raises:
        SelectionError: No proxy has a score for any architecture.
    """
    architectures = _random(job.space, count, generator(seed, "architectures"))
    images = torch.rand(2, *job.task.input_shape, generator=generator(seed, "images"))
    images = images.to(job.batch.images)
    worst = dict.fromkeys(job.proxies, -math.inf)
    known: dict[str, tuple[Mapping[str, float], bool]] = {}
    causes: dict[str, str] = {}
    rows: list[tuple[Mapping[str, float], bool]] = []
    for done, architecture in enumerate(architectures):
        report(done, len(architectures))
        form = job.space.simplified(architecture)
        if str(form) not in known:
            network = job.network(form)
            if _is_connected(network, images):
                scores, errors = job.score(network)
                causes = errors | causes
                known[str(form)] = scores, True
            else:
                known[str(form)] = worst, False
        rows.append(known[str(form)])
    report(len(architectures), len(architectures))
    scores_of = {name: [row[name] for row, _ in rows] for name in job.proxies}
    _check(scores_of, causes)
    unconnected = sum(not is_connected for _, is_connected in rows)
    target = np.asarray(log_rank_sums(list(scores_of.values())))
    return prior_of(job.space, architectures, target, unconnected)


def prior_of(
    space: AnySpace,
    architectures: Sequence[Architecture],
    target: np.ndarray[Any, np.dtype[np.float64]],
    unconnected: int = 0,
) -> InformedPrior:
    """Return the effects of the choices of architectures on a target.

    Args:
        space: Their space.
        architectures: What was measured.
        target: `architectures`-dim array, larger is better.
        unconnected: How many of them are not connected.
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
    return InformedPrior(centred, len(architectures), unconnected, found.explained)


def _centred(values: Tensor, is_seen: Tensor) -> Tensor:
    """Return values of mean zero over the choices of a slot that were seen; the others are zero.

    Of what no architecture has, nothing is known: it stays at the middle of the slot.
    """
    counts = is_seen.sum(-1, keepdim=True).clamp_min(1)
    means = torch.where(is_seen, values, 0.0).sum(-1, keepdim=True) / counts
    return torch.where(is_seen, values - means, 0.0)


def _random(space: AnySpace, count: int, draws: Generator) -> list[Architecture]:
    """Return different random architectures, in the order of the draws."""
    found: dict[str, Architecture] = {}
    for architecture in islice(iter(lambda: space.random(draws), None), _TRIES * count):
        found.setdefault(str(architecture), architecture)
        if len(found) == count:
            break
    return list(found.values())


@torch.no_grad()
def _is_connected(network: nn.Module, images: Tensor) -> bool:
    """Whether two images have different results."""
    was_training = network.training
    outputs = network.eval()(images)
    network.train(was_training)
    return not torch.equal(outputs[0], outputs[1])


def _check(scores: Mapping[str, Sequence[float]], causes: Mapping[str, str]) -> None:
    """Check that there is something to learn from, and say which proxies have no scores."""
    for name, column in scores.items():
        if name not in causes and all(score == -math.inf for score in column):
            _log.warning(
                "proxy %r gives no architecture of the informed prior a finite score", name
            )
    for name, cause in causes.items():
        failed = sum(score == -math.inf for score in scores[name])
        _log.warning(
            "proxy %r has no score for %d of %d architectures of the informed prior: %s",
            name,
            failed,
            len(scores[name]),
            cause,
        )
    if all(score == -math.inf for column in scores.values() for score in column):
        reasons = "; ".join(f"{name!r}: {cause}" for name, cause in causes.items())
        raise SelectionError(
            f"no architecture has a score for modifiers.informed_prior"
            f"{f' ({reasons})' if reasons else ''}. Choose other proxies with "
            f"--set modifiers.informed_prior.proxies=NAME, or leave it out."
        )
