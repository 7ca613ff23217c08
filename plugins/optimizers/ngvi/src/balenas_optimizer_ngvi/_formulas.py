"""The update rules on flat tensors; csrc/ngvi_math.h says the same for native code.

The posterior of a parameter is N(mean, 1 / (ess * hess + prior)). All functions work in
place and element by element; ``scratch`` are two tensors of the same size to overwrite, since
fresh temporaries cost more than the arithmetic.

References:
    Khan et al. 2018, "Fast and scalable Bayesian deep learning by weight-perturbation in
    Adam", ICML: Vadam, here as in the released optimizer of BaLeNAS (Zhang et al. 2022), and
    VOGN. Shen et al. 2024, "Variational learning is effective for large deep networks", ICML:
    IVON, whose released code (``ivon-opt``) the tests follow step by step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

Scratch: TypeAlias = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOptions:
    """What one update needs to know besides tensors.

    Args:
        lr: Step size, already rescaled.
        beta1: Decay of the momentum, in [0, 1).
        beta2: Decay of the curvature, in [0, 1).
        ess: Effective sample size over temperature.
        prior: Precision of the prior.
        radius: Largest size of the preconditioned step of an element; infinity for none.
        step: Number of this step, from 1.
        debias: Whether averages are divided by 1 - beta^step.
    """

    lr: float
    beta1: float
    beta2: float
    ess: float
    prior: float
    radius: float
    step: int
    debias: bool

    @property
    def delta(self) -> float:
        """The prior's share per datum, prior / ess."""
        return self.prior / self.ess

    def debias_factor(self, beta: float) -> float:
        """Return 1 / (1 - beta^step), or 1 without debiasing."""
        return 1.0 / (1.0 - beta**self.step) if self.debias else 1.0


def sigma(hess: Tensor, *, ess: float, prior: float) -> Tensor:
    """Return the posterior's standard deviation, 1 / sqrt(ess * hess + prior)."""
    return hess.mul(ess).add_(prior).rsqrt_()


def sample_(
    out: Tensor,
    mean: Tensor,
    hess: Tensor,
    noise: Tensor,
    *,
    ess: float,
    prior: float,
    scratch: Tensor,
) -> None:
    """Write mean + noise / sqrt(ess * (hess + prior / ess)) into ``out``."""
    torch.add(hess, prior / ess, out=scratch).rsqrt_()
    # The number 1 / sqrt(ess) rides along instead of costing a pass of its own.
    torch.addcmul(mean, noise, scratch, value=ess**-0.5, out=out)


def vadam_(
    mean: Tensor,
    momentum: Tensor,
    hess: Tensor,
    gradient: Tensor,
    square: Tensor | None,
    options: StepOptions,
    scratch: Scratch,
) -> None:
    """Make one Vadam update; ``square`` is the mean squared gradient (None: its square).

    m <- b1 m + (1 - b1) (g + delta mu);  s <- b2 s + (1 - b2) g2
    mu <- mu - lr * clip( (m / (1 - b1^t)) / (sqrt(s / (1 - b2^t)) + delta) )

    The last line is computed as (m f1 / r) / (sqrt(s) + delta / r), r^2 = f2 = 1 / (1 - b2^t).
    """
    regularised, denominator = scratch
    torch.add(gradient, mean, alpha=options.delta, out=regularised)
    momentum.lerp_(regularised, 1.0 - options.beta1)
    if square is None:
        square = torch.mul(gradient, gradient, out=denominator)
    hess.lerp_(square, 1.0 - options.beta2)
    root = options.debias_factor(options.beta2) ** 0.5
    torch.sqrt(hess, out=denominator).add_(options.delta / root)
    factor = options.debias_factor(options.beta1) / root
    _descend_(mean, momentum, denominator, factor, options, scratch[0])


def new_hessian_(hess: Tensor, error: Tensor, shifted: Tensor, beta2: float) -> None:
    """Move an average towards an estimate so that hess + delta stays positive.

    h <- h - (1 - b2) e + (1 - b2)^2 / 2 * e^2 / (h + delta), e = h - hhat; so h + delta falls
    at most to its half.

    Args:
        hess: The average h, overwritten.
        error: h minus an estimate hhat of any sign, overwritten.
        shifted: h + delta of the old h.
        beta2: Decay in [0, 1).
    """
    gain = 1.0 - beta2
    hess.sub_(error, alpha=gain)
    hess.addcdiv_(error.square_(), shifted, value=0.5 * gain**2)


def ivon_(
    mean: Tensor,
    momentum: Tensor,
    hess: Tensor,
    gradient: Tensor,
    product: Tensor,
    options: StepOptions,
    scratch: Scratch,
) -> None:
    """Make one IVON update; ``product`` is the mean of eps * g.

    hhat = sqrt(ess (h + delta)) * product, which is ess (h + delta) * mean(n * g)
    h <- ``new_hessian_``;  m <- b1 m + (1 - b1) g
    mu <- mu - lr * clip( (m / (1 - b1^t) + delta mu) / (h + delta) )
    """
    shifted, error = scratch
    torch.add(hess, options.delta, out=shifted)
    torch.sqrt(shifted, out=error)
    torch.addcmul(hess, product, error, value=-(options.ess**0.5), out=error)
    new_hessian_(hess, error, shifted, options.beta2)
    momentum.lerp_(gradient, 1.0 - options.beta1)
    _newton_(mean, momentum, hess, options, scratch)


def vogn_(
    mean: Tensor,
    momentum: Tensor,
    hess: Tensor,
    gradient: Tensor,
    square: Tensor,
    options: StepOptions,
    scratch: Scratch,
) -> None:
    """Make one VOGN update; ``square`` is the mean squared per-example gradient.

    With the precision P = ess s + prior:  P <- b2 P + (1 - b2) (ess * square + prior)
    mu <- mu - lr * clip( (ess * m / (1 - b1^t) + prior mu) / P ),  m = g for b1 = 0
    """
    hess.lerp_(square, 1.0 - options.beta2)
    momentum.lerp_(gradient, 1.0 - options.beta1)
    _newton_(mean, momentum, hess, options, scratch)


def _newton_(
    mean: Tensor, momentum: Tensor, hess: Tensor, options: StepOptions, scratch: Scratch
) -> None:
    """Make the step of IVON and VOGN; the debiasing factor is taken out of the fraction."""
    numerator, denominator = scratch
    factor = options.debias_factor(options.beta1)
    torch.add(momentum, mean, alpha=options.delta / factor, out=numerator)
    torch.add(hess, options.delta, out=denominator)
    _descend_(mean, numerator, denominator, factor, options, scratch[1])


def _descend_(
    mean: Tensor,
    numerator: Tensor,
    denominator: Tensor,
    factor: float,
    options: StepOptions,
    scratch: Tensor,
) -> None:
    """Subtract lr * clip(factor * numerator / denominator) from the mean."""
    if options.radius == math.inf:
        mean.addcdiv_(numerator, denominator, value=-options.lr * factor)
        return
    step = torch.div(numerator, denominator, out=scratch)
    step.mul_(factor).clamp_(-options.radius, options.radius)
    mean.add_(step, alpha=-options.lr)


def entropy(hess: Tensor, *, ess: float, prior: float) -> Tensor:
    """Return 1/2 * sum(ln(2 pi e sigma^2)) in nats, a scalar."""
    log_precision = hess.mul(ess).add_(prior).log_()
    return 0.5 * (hess.numel() * math.log(2.0 * math.pi * math.e) - log_precision.sum())


def kl(mean: Tensor, hess: Tensor, *, ess: float, prior: float) -> Tensor:
    """Return KL(q || N(0, 1 / prior)) in nats, a scalar.

    1/2 * sum(prior sigma^2 + prior mean^2 - 1 - ln(prior sigma^2)); infinite for prior = 0.
    """
    ratio = prior / hess.mul(ess).add_(prior)
    return 0.5 * (ratio - 1.0 - ratio.log() + prior * mean.square()).sum()
