"""Top eigenvalue and trace of a Hessian, by Hessian-vector products alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

_Product = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Curvature:
    """What is known of a Hessian: its largest eigenvalue, and an estimate of its trace."""

    top_eigenvalue: float
    trace: float


def curvature(
    loss: Tensor,
    parameters: Sequence[Tensor],
    *,
    generator: Generator,
    iterations: int,
    samples: int,
) -> Curvature:
    """Return the curvature of a loss in parameters.

    One differentiable backward pass, and one more backward pass through it for every product:
    ``iterations`` for the eigenvalue (twice as many if the eigenvalue of largest magnitude is
    negative), ``samples`` for the trace. There is no further forward pass.

    Args:
        loss: A scalar, twice differentiable in ``parameters``.
        parameters: Those that the loss does not depend on count as directions without
            curvature.
        generator: Source of the start and of the random signs.
        iterations: Steps of the power iteration.
        samples: Random vectors of Hutchinson's estimator, mean of v' H v with signs v.

    References:
        Pearlmutter 1994, "Fast Exact Multiplication by the Hessian", Neural Computation.
        Hutchinson 1990, "A Stochastic Estimator of the Trace", Comm. Stat. Sim.
    """
    gradients = torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True)
    used = [(p, g) for p, g in zip(parameters, gradients, strict=True) if g is not None]
    curved = [(p, g) for p, g in used if g.requires_grad]
    if not curved:  # linear in everything
        return Curvature(0.0, 0.0)
    inputs = [p for p, _ in curved]
    gradient = torch.cat([g.flatten() for _, g in curved])

    def product(vector: Tensor) -> Tensor:
        parts = torch.autograd.grad(
            gradient, inputs, vector, retain_graph=True, materialize_grads=True
        )
        return torch.cat([part.flatten() for part in parts])

    def signs() -> Tensor:
        bits = torch.randint(2, gradient.shape, generator=generator)
        return (2 * bits - 1).to(gradient)

    top = _top_eigenvalue(product, signs(), iterations)
    draws = [signs() for _ in range(samples)]
    trace = torch.stack([v.dot(product(v)) for v in draws]).mean()
    return Curvature(top, trace.item())


def _top_eigenvalue(product: _Product, start: Tensor, iterations: int) -> float:
    dominant = _dominant_eigenvalue(product, start, iterations)
    if dominant >= 0:
        return dominant
    # H - dominant * I has no negative eigenvalue, and its largest belongs to that of H.
    shifted = _dominant_eigenvalue(lambda v: product(v) - dominant * v, start, iterations)
    return shifted + dominant


def _dominant_eigenvalue(product: _Product, start: Tensor, iterations: int) -> float:
    """Return the eigenvalue of largest magnitude, by power iteration and Rayleigh's quotient."""
    vector, value = start / start.norm(), start.new_zeros(())
    smallest = torch.finfo(start.dtype).tiny
    for _ in range(iterations):
        image = product(vector)
        value = vector.dot(image)
        # The largest entry goes first: squares of small ones would underflow.
        scaled = image / image.abs().amax().clamp_min(smallest)
        vector = scaled / scaled.norm().clamp_min(smallest)
    return value.item()
