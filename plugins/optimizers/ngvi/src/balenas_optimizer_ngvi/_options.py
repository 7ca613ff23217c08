"""Options of a parameter group: defaults per variant, checks, the initial curvature."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from balenas_optimizer_ngvi._formulas import StepOptions
from balenas_optimizer_ngvi.errors import OptionError
from balenas_optimizer_ngvi.schedules import Schedule, value_at

VARIANTS = ("vadam", "ivon", "vogn")
BACKENDS = ("auto", "native", "torch")

DEFAULT_BETAS: Mapping[str, tuple[float, float]] = {
    "vadam": (0.5, 0.999),
    "ivon": (0.9, 0.9995),
    "vogn": (0.0, 0.999),
}


def check_variant(variant: str) -> None:
    """Refuse a name that is not in ``VARIANTS``."""
    if variant not in VARIANTS:
        raise OptionError(f"`variant` must be one of {', '.join(VARIANTS)}; got {variant!r}")


def check_backend(backend: str) -> None:
    """Refuse a name that is not in ``BACKENDS``."""
    if backend not in BACKENDS:
        raise OptionError(f"`backend` must be one of {', '.join(BACKENDS)}; got {backend!r}")


def check_samples(mc_samples: int) -> None:
    """Refuse anything but a whole number of samples from 1 on."""
    if isinstance(mc_samples, bool) or not isinstance(mc_samples, int) or mc_samples < 1:
        raise OptionError(f"`mc_samples` must be a whole number of at least 1; got {mc_samples!r}")


def check_group(group: Mapping[str, Any], variant: str) -> None:
    """Refuse options out of range; the message names the option, its value and what to type."""
    _check_positive(group, "lr", "type for example lr=1e-3")
    for name in ("ess", "temperature"):
        if not callable(group[name]):
            _check_positive(group, name, _POSITIVE_HINTS[name])
    _check_positive(group, "clip_radius", "type math.inf for no clipping", infinite=True)
    betas = group["betas"]
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise OptionError(f"`betas` must be two numbers in [0, 1); got {betas}")
    prior = group["prior_precision"]
    if not (0 <= prior < math.inf) or (prior == 0 and variant != "ivon"):
        raise OptionError(
            f"`prior_precision` must be positive and finite (0 only for ivon); got {prior}. "
            "Type 1.0 for a standard normal prior"
        )
    if group["hess_init"] is not None and group["initial_sigma"] is not None:
        raise OptionError(
            f"give `hess_init` or `initial_sigma`, not both; got {group['hess_init']} and "
            f"{group['initial_sigma']}"
        )


_POSITIVE_HINTS = {
    "ess": "type the number of training examples",
    "temperature": "type 1.0 for the plain posterior",
}


def _check_positive(
    group: Mapping[str, Any], name: str, hint: str, *, infinite: bool = False
) -> None:
    value = group[name]
    if isinstance(value, Tensor) or not (value > 0 and (infinite or value < math.inf)):
        finite = "" if infinite else " and finite"
        raise OptionError(f"`{name}` must be a number, positive{finite}; got {value}. {hint}")


def effective_size(group: Mapping[str, Any], step: int) -> float:
    """Return the effective sample size over the temperature after ``step`` finished steps.

    Raises:
        OptionError: A schedule returned something else than a positive number.
    """
    ess = _scheduled(group["ess"], "ess", step)
    return ess / _scheduled(group["temperature"], "temperature", step)


def _scheduled(schedule: float | Schedule, name: str, step: int) -> float:
    value = value_at(schedule, step)
    if not 0 < value < math.inf:
        raise OptionError(
            f"the schedule of `{name}` must give positive finite numbers; got {value} at step "
            f"{step}. {_POSITIVE_HINTS[name]}"
        )
    return float(value)


def initial_curvature(group: Mapping[str, Any], variant: str) -> float:
    """Return the first value of the curvature estimate of a group.

    ``hess_init`` as it is, or (1 / initial_sigma^2 - prior) / ess. The default is 1 for ivon
    and a precision of max(1, prior) for the other variants.

    Raises:
        OptionError: The value would be negative, or zero for ivon.
    """
    given, prior = group["hess_init"], group["prior_precision"]
    if given is not None:
        if not 0 < given < math.inf:
            raise OptionError(
                f"`hess_init` must be positive and finite; got {given}. To choose the start by "
                "its width type initial_sigma=0.1, for example"
            )
        return float(given)
    width = group["initial_sigma"]
    if width is None and variant == "ivon":
        return 1.0
    if width is None:
        return float((max(1.0, prior) - prior) / effective_size(group, 0))
    if not 0 < width < math.inf:
        raise OptionError(f"`initial_sigma` must be positive and finite; got {width}. Type 0.1")
    value = float((1.0 / width**2 - prior) / effective_size(group, 0))
    if value < 0 or (value == 0 and variant == "ivon"):
        limit = "below" if variant == "ivon" else "at most"
        raise OptionError(
            f"`initial_sigma` must be {limit} the prior's 1 / sqrt(prior_precision) = "
            f"{1 / math.sqrt(prior):.6g} for {variant}; got {width}, which leaves "
            f"hess_init={value:.6g}"
        )
    return value


def step_options(group: Mapping[str, Any], variant: str) -> StepOptions:
    """Return the options of a group's next update."""
    ess, prior = effective_size(group, group["step"]), group["prior_precision"]
    lr = group["lr"]
    if variant == "ivon" and group["rescale_lr"]:
        lr *= group["curvature_start"] + prior / ess
    return StepOptions(
        lr=float(lr),
        beta1=group["betas"][0],
        beta2=group["betas"][1],
        ess=ess,
        prior=prior,
        radius=group["clip_radius"],
        step=group["step"] + 1,
        debias=group["debias"],
    )
