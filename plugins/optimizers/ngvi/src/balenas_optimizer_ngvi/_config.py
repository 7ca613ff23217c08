"""The ``ngvi`` section of a search's configuration. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from pydantic import Field

from balenas_core import PluginOptions
from balenas_core.plugins.builtin import GaussianOptions
from balenas_core.plugins.options import Conflict


class VariantDefaults(NamedTuple):
    """What a variant brings where the configuration leaves it open."""

    lr: float
    beta1: float
    beta2: float
    prior_precision: float


DEFAULTS = {
    "vadam": VariantDefaults(lr=3e-4, beta1=0.5, beta2=0.999, prior_precision=1.0),
    "ivon": VariantDefaults(lr=0.1, beta1=0.9, beta2=0.9995, prior_precision=0.1),
}
"""Settings of each variant: the released code of BaLeNAS for vadam; for ivon those of its paper,
with the curvature averaged over the steps of a search and a prior wider than the start.

For vadam in a search, lr and beta2 hold only until ``length_dependent`` replaces them."""


_DISTANCE = 6.0
_LONG = 2000


def length_dependent(steps: int, distance: float | None) -> tuple[float, float]:
    """Return step size and decay of the curvature of a search of so many steps (vadam).

    A step is at most about lr long, whatever the scale of the loss, so that lr = distance / steps
    moves a logit whose gradient never changes by ``distance``, which is 6 by default. Searches of
    under 2,000 steps go in proportion less far: while the supernet's weights are young, what has
    no weights looks best, and going far by that is worse than staying. The
    curvature is averaged over a third of the search: beta2 = 1 - 3 / steps, so that all but
    exp(-3) of its start is forgotten at the end, and sigma can follow.

    Example:
        >>> length_dependent(6000, None)
        (0.001, 0.9995)
        >>> length_dependent(300, None)
        (0.003, 0.99)
    """
    lr = (distance or _DISTANCE) / max(steps, _LONG)
    return lr, max(0.0, 1.0 - 3.0 / steps)


class NGVIOptions(PluginOptions):
    """Settings of natural-gradient variational inference over architecture logits."""

    variant: Literal["vadam", "ivon"] = Field(
        default="vadam",
        description="Update rule: vadam (BaLeNAS) or ivon (unbiased Hessian estimate).",
    )
    lr: float | None = Field(
        default=None,
        gt=0,
        description="Step size; null for distance / number of steps (vadam) or 0.1 (ivon).",
    )
    distance: float | None = Field(
        default=None,
        gt=0,
        description="Where lr is null: how far the search would move a logit whose gradient never "
        "changed (vadam); null for 6. In proportion less in searches of under 2,000 steps, whose "
        "weights are too young to be believed.",
    )
    beta1: float | None = Field(
        default=None, ge=0, lt=1, description="Decay of the momentum; null for the variant's own."
    )
    beta2: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="Decay of the curvature; null for a mean over a third of the search (vadam), "
        "or 0.9995 (ivon).",
    )
    ess: float | None = Field(
        default=None,
        gt=0,
        description="Effective sample size, the knob of exploration; null for the number of "
        "validation images.",
    )
    temperature: float = Field(
        default=1.0, gt=0, description="Weight of the KL term; the posterior uses ess/temperature."
    )
    temperature_start: float | None = Field(
        default=None,
        gt=0,
        description="Temperature of the first epoch, from which it goes to `temperature`.",
    )
    temperature_schedule: Literal["linear", "cosine"] = Field(
        default="linear", description="Path from `temperature_start` to `temperature`."
    )
    prior_precision: float | None = Field(
        default=None,
        gt=0,
        description="Precision of the normal prior of the logits; null for 1 (vadam), 0.1 (ivon).",
    )
    mc_samples: int = Field(default=1, ge=1, description="Monte-Carlo samples per step (K).")
    antithetic: bool = Field(
        default=False, description="Draw samples in pairs of opposite noise; needs mc_samples > 1."
    )
    clip_radius: float | None = Field(
        default=None, gt=0, description="Largest step of a logit before lr; null for no limit."
    )

    def conflicts(self, partners: Mapping[str, PluginOptions]) -> Iterator[Conflict]:
        """Yield that the distribution starts wider than the prior, of which it is made."""
        gaussian = partners.get("distribution")
        if not isinstance(gaussian, GaussianOptions):
            return
        prior = self.prior_precision or DEFAULTS[self.variant].prior_precision
        sigma, limit = gaussian.initial_sigma, 1 / math.sqrt(prior)
        is_at_limit = math.isclose(sigma, limit, rel_tol=PRIOR_TOLERANCE)
        # The curvature would be negative; of ivon's, zero is none either.
        if (sigma > limit and not is_at_limit) or (is_at_limit and self.variant == "ivon"):
            yield Conflict(
                "distribution",
                "initial_sigma",
                f"must be {'below' if self.variant == 'ivon' else 'at most'} {limit:.6g}, the "
                f"width of the prior of ngvi's variant {self.variant} (1 / sqrt(prior_precision) "
                f"with {prior:g}; got {sigma:g}). Set it lower, or optimizer.prior_precision",
            )


PRIOR_TOLERANCE = 1e-6
"""Relative difference up to which a start is at the prior's width: log(sigma) is rounded."""


class CategoricalOptions(PluginOptions):
    """Settings of natural-gradient variational inference of categorical choices."""

    lr: float | None = Field(
        default=None,
        gt=0,
        description="Step size; null for 0.1, and for 5.6 / sqrt(number of steps) in searches of "
        "more than 3,136.",
    )
    beta1: float = Field(default=0.9, ge=0, lt=1, description="Decay of the momentum.")
    ess: float | None = Field(
        default=None,
        gt=0,
        description="Effective sample size, the knob of exploration; null for the number of "
        "validation images.",
    )
    temperature: float = Field(
        default=1.0, gt=0, description="Weight of the KL term to the uniform distribution."
    )
    mc_samples: int = Field(default=1, ge=1, description="Monte-Carlo samples per step (K).")
    clip_radius: float | None = Field(
        default=1.0,
        gt=0,
        description="Largest natural gradient of a logit; null for no limit. It grows as 1 / p.",
    )
