"""The ``ngvi`` section of a search's configuration. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from balenas_core import PluginOptions

DEFAULTS = {
    # lr, beta1, beta2, prior_precision
    "vadam": (3e-4, 0.5, 0.999, 1.0),
    "ivon": (0.1, 0.9, 0.9995, 0.1),
}
"""Settings of each variant: the released code of BaLeNAS for vadam; for ivon those of its paper,
with the curvature averaged over the steps of a search and a prior wider than the start."""


class NGVIOptions(PluginOptions):
    """Settings of natural-gradient variational inference over architecture logits."""

    variant: Literal["vadam", "ivon"] = Field(
        default="vadam",
        description="Update rule: vadam (BaLeNAS) or ivon (unbiased Hessian estimate).",
    )
    lr: float | None = Field(
        default=None, gt=0, description="Step size; null for 3e-4 (vadam) or 0.1 (ivon)."
    )
    beta1: float | None = Field(
        default=None, ge=0, lt=1, description="Decay of the momentum; null for the variant's own."
    )
    beta2: float | None = Field(
        default=None, ge=0, lt=1, description="Decay of the curvature; null for the variant's own."
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


class CategoricalOptions(PluginOptions):
    """Settings of natural-gradient variational inference of categorical choices."""

    lr: float = Field(default=0.1, gt=0, description="Step size.")
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
