"""The update rules on flat tensors; csrc/ngvi_math.h says the same for native code.

The posterior of a parameter is N(mean, 1 / (ess * hess + prior)). All functions work in
place and element by element; ``scratch`` are two tensors of the same size to overwrite, since
fresh temporaries cost more than the arithmetic.

References:
    Khan et al. 2018, "Fast and scalable Bayesian deep learning by weight-perturbation in
    Adam", ICML: Vadam (figure 1) and VOGN (equations 7, 8).
    Shen et al. 2024, "Variational learning is effective for large deep networks", ICML:
    IVON (algorithm 1).
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


def sigma(hess: Tensor, *, ess: float, prior: float, out: Tensor | None = None) -> Tensor:
    """Return the posterior's standard deviation, 1 / sqrt(ess * hess + prior)."""
    return torch.mul(hess, ess, out=out).add_(prior).rsqrt_()


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
    """Write mean + noise * sigma(hess) into ``out``."""
    torch.addcmul(mean, noise, sigma(hess, ess=ess, prior=prior, out=scratch), out=out)


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
    """
    regularised, denominator = scratch
    torch.add(gradient, mean, alpha=options.delta, out=regularised)
    momentum.lerp_(regularised, 1.0 - options.beta1)
    factor = gradient if square is None else square
    if square is None:
        hess.mul_(options.beta2).addcmul_(factor, factor, value=1.0 - options.beta2)
    else:
        hess.lerp_(square, 1.0 - options.beta2)
    torch.mul(hess, options.debias_factor(options.beta2), out=denominator)
    denominator.sqrt_().add_(options.delta)
    _descend_(mean, momentum, denominator, options.debias_factor(options.beta1), options, scratch[0])


def new_hessian_(
    hess: Tensor, estimate: Tensor, shifted: Tensor, beta2: float, scratch: Tensor
) -> None:
    """Move an average towards an estimate so that hess + delta stays positive.

    h <- b2 h + (1 - b2) hhat + (1 - b2)^2 / 2 * (h - hhat)^2 / (h + delta)

    Args:
        hess: The average h, overwritten.
        estimate: The estimate hhat, of any sign.
        shifted: h + delta of the old h.
        beta2: Decay in [0, 1).
        scratch: Tensor of the same size to overwrite.
    """
    torch.sub(hess, estimate, out=scratch)
    hess.lerp_(estimate, 1.0 - beta2)
    hess.addcdiv_(scratch.square_(), shifted, value=0.5 * (1.0 - beta2) ** 2)


def ivon_(
    mean: Tensor,
    momentum: Tensor,
    hess: Tensor,
    gradient: Tensor,
    product: Tensor,
    options: StepOptions,
    scratch: Scratch,
) -> None:
    """Make one IVON update; ``product`` is the mean of eps * g, overwritten.

    hhat = sqrt(ess * h + prior) * product, which is ess (h + delta) * mean(n * g)
    h <- ``new_hessian_``;  m <- b1 m + (1 - b1) g
    mu <- mu - lr * clip( (m / (1 - b1^t) + delta mu) / (h + delta) )
    """
    shifted, other = scratch
    torch.add(hess, options.delta, out=shifted)
    product.mul_(torch.mul(shifted, options.ess, out=other).sqrt_())
    new_hessian_(hess, product, shifted, options.beta2, other)
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
    numerator, denominator = scratch
    torch.mul(momentum, options.debias_factor(options.beta1), out=numerator)
    numerator.add_(mean, alpha=options.delta)
    torch.add(hess, options.delta, out=denominator)
    _descend_(mean, numerator, denominator, 1.0, options, scratch[1])


def _descend_(
    mean: Tensor,
    numerator: Tensor,
    denominator: Tensor,
    factor: float,
    options: StepOptions,
    scratch: Tensor,
) -> None:
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
