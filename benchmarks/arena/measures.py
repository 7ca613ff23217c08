"""What a distribution is worth, by the real results of what it would draw."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from balenas_core import ArchitectureDistribution, Benchmark, SearchSpace
from balenas_core.distributions import DirichletDistribution, GaussianDistribution

BEST_SHARE = 0.01
DRAWS = 20_000
_NODES = 4001

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """Real results of all architectures of a space.

    Args:
        accuracies: Percent, by data set, in the benchmark's order.
        is_best: Whether an architecture is one of the best ``BEST_SHARE``, on the first.
    """

    accuracies: Mapping[str, Floats]
    is_best: NDArray[np.bool_]

    @classmethod
    def of(cls, benchmark: Benchmark[Any]) -> Truth:
        """Read all results of a benchmark."""
        metric = benchmark.metrics[0]
        accuracies = {d: np.asarray(benchmark.values(d, metric)) for d in benchmark.datasets}
        first = next(iter(accuracies.values()))
        count = math.floor(BEST_SHARE * first.size)
        is_best = np.zeros(first.size, dtype=bool)
        is_best[np.argsort(-first, kind="stable")[:count]] = True
        return cls(accuracies, is_best)

    def regrets(self, index: int) -> dict[str, float]:
        """Return the points that an architecture lacks to the best, by data set."""
        return {d: float(np.nanmax(v) - v[index]) for d, v in self.accuracies.items()}

    def expectation(self, probabilities: Floats) -> dict[str, float]:
        """Return mean accuracy and mass on the best, on the first data set."""
        first = next(iter(self.accuracies.values()))
        return {
            "mean_accuracy": float(probabilities @ first),
            "best_mass": float(probabilities[self.is_best].sum()),
        }


def choice_probabilities(distribution: ArchitectureDistribution) -> dict[str, Tensor]:
    """Return with what probability each choice of a slot is the largest of a draw.

    Slots are independent in every distribution of the core, so that these are all there is to
    know about draws whose discretisation takes each slot's largest.

    Returns:
        For every decision a `slots x choices`-dim tensor, float64.
    """
    if isinstance(distribution, GaussianDistribution):
        return {
            name: _largest_normal(mean.double(), distribution.log_sigma[name].double().exp())
            for name, mean in distribution.centre().items()
        }
    if isinstance(distribution, DirichletDistribution):
        return {
            name: _largest_gamma(c.double()) for name, c in distribution.concentration().items()
        }
    return {name: weights.double() for name, weights in distribution.mean_weights().items()}


def _largest_normal(mean: Tensor, sigma: Tensor) -> Tensor:
    """Return P(x_k is the largest), x ~ N(mean, sigma^2), by the trapezoidal rule.

    integral of phi(z) * prod_(j != k) Phi((mean_k + sigma_k z - mean_j) / sigma_j) dz.
    """
    z = torch.linspace(-8, 8, _NODES, dtype=torch.float64)
    density = torch.exp(-0.5 * z.square())
    values = mean[..., None] + sigma[..., None] * z
    # slots x choice k x other j x node
    below = torch.special.log_ndtr(
        (values[:, :, None] - mean[:, None, :, None]) / sigma[:, None, :, None]
    )
    return _normalised(below, density)


def _largest_gamma(concentration: Tensor) -> Tensor:
    """Return P(g_k is the largest) of independent Gamma(c_k, 1), over log g.

    A Dirichlet draw is such gammas over their sum, which changes no order.
    """
    smallest, largest = float(concentration.min()), float(concentration.max())
    low = -40.0 / min(1.0, smallest)
    log_g = torch.linspace(low, math.log(largest + 20 * math.sqrt(largest) + 40), 4 * _NODES)
    log_g = log_g.double()
    c = concentration[..., None]
    density = torch.exp(c * log_g - log_g.exp() - torch.lgamma(c))
    below = torch.special.gammainc(c, log_g.exp()).clamp_min(1e-300).log()
    slots, choices, nodes = below.shape
    others = below[:, None].expand(slots, choices, choices, nodes)
    return _normalised(others, density)


def _normalised(log_below: Tensor, density: Tensor) -> Tensor:
    choices = log_below.shape[1]
    is_self = torch.eye(choices, dtype=torch.bool)[None, :, :, None]
    product = log_below.masked_fill(is_self, 0.0).sum(2).exp()
    mass = (product * density).sum(-1)
    return mass / mass.sum(-1, keepdim=True)


def joint(tables: Tensor) -> Floats:
    """Return the probability of every combination of choices, the last slot changing fastest."""
    rows = list(tables.numpy())
    return reduce(lambda left, right: np.multiply.outer(left, right).ravel(), rows)


def measure(
    distribution: ArchitectureDistribution,
    space: SearchSpace[Any],
    truth: Truth,
    *,
    draws: int = DRAWS,
) -> dict[str, Any]:
    """Return mean accuracy, mass on the best, and argmax with its regrets.

    Exact where the space takes the largest choice of every slot of one table; otherwise from
    draws with a fixed seed.
    """
    benchmark = space.benchmark()
    assert benchmark is not None
    argmax = distribution.argmax(space)
    return {
        **truth.expectation(_probabilities(distribution, space, benchmark, draws)),
        "argmax": str(argmax),
        "argmax_regret": truth.regrets(benchmark.index(argmax)),
    }


@torch.no_grad()
def _probabilities(
    distribution: ArchitectureDistribution,
    space: SearchSpace[Any],
    benchmark: Benchmark[Any],
    draws: int,
) -> Floats:
    size = benchmark.values(benchmark.datasets[0], benchmark.metrics[0]).size
    tables = choice_probabilities(distribution)
    first = next(iter(tables.values()))
    # Weights of edges, where a supernet has them, decide nothing in such a space.
    if size == first.shape[1] ** first.shape[0]:
        by_choices = joint(first)
        probabilities = np.zeros(size)
        probabilities[_order(space, benchmark)] = by_choices
        return probabilities
    generator = Generator().manual_seed(0)
    found = [benchmark.index(a) for a in distribution.draw(space, draws, generator)]
    return np.bincount(found, minlength=size) / draws


def _order(space: SearchSpace[Any], benchmark: Benchmark[Any]) -> NDArray[np.int64]:
    """Return the benchmark's number of every combination of choices."""
    architectures = space.architectures()
    assert architectures is not None
    return np.fromiter((benchmark.index(a) for a in architectures), dtype=np.int64)
