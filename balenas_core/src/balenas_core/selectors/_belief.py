"""What trainings say of candidates: a small Gaussian model, averaged over what it cannot know."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FIRST = 6
"""How many candidates are trained before the model says who is next."""

_SLOPE = 0.2
_KERNEL = 1.0
_ROUND = 0.1
# Of the values' spread: those trained first are alike, and what is not trained yet may differ more.
_SCALES = (2.0, 4.0)
_NOISES = (0.1, 0.3, 1.0)
_LENGTHS = (1.0, 3.0)
_DRAWS = 4000
_JITTER = 1e-9


@dataclass(frozen=True, slots=True)
class Observation:
    """One training: of which candidate, in which round, and how good it was (larger is better).

    Trainings of one round share their images and their seed.
    """

    candidate: int
    round: int
    value: float


@dataclass(frozen=True, slots=True)
class Belief:
    """What is believed of every candidate: mean and spread of its worth, and P(it is the best)."""

    mean: Floats
    spread: Floats
    is_best: Floats


@dataclass(frozen=True, slots=True)
class _Setting:
    """What the model does not know, in terms of the spread of the values."""

    scale: float
    noise: float
    length: float


def believe(
    evidence: Floats, distances: Floats, observations: Sequence[Observation], *, seed: int
) -> Belief:
    """Return the posterior of every candidate's worth.

    worth_i = level + sum_j slope_j * evidence_ij + g_i, and a training shows worth_i + offset of
    its round + noise. All are normal: slopes around a positive mean, because earlier stages are
    to be believed a little; g with the covariance exp(-distance / length), so that what differs
    in few decisions is alike. Scale, noise and length are averaged over a grid, each setting
    weighted by the likelihood of what was observed.

    Args:
        evidence: `candidates x stages`-dim normal scores of earlier stages.
        distances: `candidates x candidates`-dim numbers of decisions that differ.
        observations: At least two, of at least two candidates.
        seed: Of the draws that tell how often each is the best.

    References:
        Rasmussen and Williams 2006, "Gaussian Processes for Machine Learning", MIT Press.
    """
    values = np.array([o.value for o in observations])
    spread = max(float(values.std()), 1e-6 * max(1.0, float(np.abs(values).max())))
    found = [
        _posterior(_Setting(scale * spread, noise, length), evidence, distances, observations)
        for scale, noise, length in product(_SCALES, _NOISES, _LENGTHS)
    ]
    likelihoods = np.array([likelihood for likelihood, _, _ in found])
    weights = np.exp(likelihoods - likelihoods.max())
    weights /= weights.sum()
    means = np.array([mean for _, mean, _ in found])
    variances = np.array([np.diag(covariance) for _, _, covariance in found])
    mean = weights @ means
    variance = weights @ (variances + np.square(means - mean))
    best = np.zeros(len(mean))
    random = np.random.default_rng(seed)
    for draws in _draws(weights, found, random):
        np.add.at(best, draws.argmax(1), 1.0)
    return Belief(mean, np.sqrt(variance), best / best.sum())


def _draws(
    weights: Floats, found: Sequence[tuple[float, Floats, Floats]], random: np.random.Generator
) -> Iterator[Floats]:
    """Yield `draws x candidates`-dim joint draws, of each setting as many as it deserves."""
    for weight, (_, mean, covariance) in zip(weights, found, strict=True):
        count = round(float(weight) * _DRAWS)
        if count:
            values, vectors = np.linalg.eigh(covariance)
            root = vectors * np.sqrt(values.clip(0.0))
            yield mean + random.standard_normal((count, len(mean))) @ root.T


def _posterior(
    setting: _Setting, evidence: Floats, distances: Floats, observations: Sequence[Observation]
) -> tuple[float, Floats, Floats]:
    """Return log likelihood, and mean and covariance of all candidates."""
    of = [o.candidate for o in observations]
    values = np.array([o.value for o in observations])
    rounds = np.array([o.round for o in observations])
    square = setting.scale**2
    slope = _SLOPE / math.sqrt(max(1, evidence.shape[1]))
    prior_mean = values.mean() + setting.scale * slope * (evidence - evidence[of].mean(0)).sum(1)
    prior = square * (
        1.0 + slope**2 * evidence @ evidence.T + _KERNEL * np.exp(-distances / setting.length)
    )
    shared = (rounds[:, None] == rounds[None, :]).astype(np.float64)
    observed = prior[np.ix_(of, of)] + square * (
        _ROUND * shared + (setting.noise + _JITTER) * np.eye(len(of))
    )
    root = np.linalg.cholesky(observed)
    residual = np.linalg.solve(root, values - prior_mean[of])
    gain = np.linalg.solve(root, prior[of])
    likelihood = -0.5 * float(residual @ residual) - float(np.log(np.diag(root)).sum())
    return likelihood, prior_mean + gain.T @ residual, prior - gain.T @ gain


def first_candidates(distances: Floats, count: int) -> list[int]:
    """Return the first candidate and, one after the other, those that differ most from all before.

    What earlier stages put first is alike, so that its values alone say neither how much
    candidates differ nor what the others are worth.

    Args:
        distances: `candidates x candidates`-dim numbers of decisions that differ.
        count: At least one; at most as many as there are candidates are returned.

    References:
        Gonzalez 1985, "Clustering to Minimize the Maximum Intercluster Distance", Theoretical
        Computer Science: farthest-first traversal.
    """
    chosen = [0]
    while len(chosen) < min(count, len(distances)):
        nearest = distances[:, chosen].min(axis=1)
        nearest[chosen] = -1.0
        chosen.append(int(nearest.argmax()))
    return chosen


def best_trained(belief: Belief, observations: Sequence[Observation]) -> int:
    """Return the trained candidate of the largest expected worth."""
    return max({o.candidate for o in observations}, key=lambda i: (belief.mean[i], -i))


def next_candidate(belief: Belief) -> int:
    """Return which candidate to train next: the less certain of the two most probable bests.

    References:
        Russo 2020, "Simple Bayesian Algorithms for Best-Arm Identification", Operations
        Research: top-two sampling. Deviation: no draw decides between the two.
    """
    first, second = np.argsort(-belief.is_best, kind="stable")[:2]
    return int(first if belief.spread[first] >= belief.spread[second] else second)
