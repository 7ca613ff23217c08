"""Declarations of the plugins that come with the core. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from balenas_core.options import PluginOptions
from balenas_core.plugin import Plugin


class GaussianOptions(PluginOptions):
    """Start of the Gaussian distribution."""

    initial_sigma: float = Field(
        default=1.0, gt=0, description="Standard deviation of every logit before the search."
    )
    initial_scale: float = Field(
        default=1e-3, ge=0, description="Standard deviation of the random initial means."
    )


class PointOptions(PluginOptions):
    """Start of the point distribution."""

    initial_scale: float = Field(
        default=1e-3, ge=0, description="Standard deviation of the random initial logits."
    )


class RandomChoiceOptions(PluginOptions):
    """Size of the pool that the random selector chooses from."""

    draws: int = Field(default=64, ge=1, description="Architectures drawn.")


gaussian = Plugin(
    kind="distribution",
    summary="Gaussian over logits with diagonal covariance (BaLeNAS)",
    api_version=1,
    implementation="balenas_core.distributions:GaussianDistribution",
    options=GaussianOptions,
    provides=("gaussian",),
)
point = Plugin(
    kind="distribution",
    summary="one point of logits, relaxed by softmax (DARTS)",
    api_version=1,
    implementation="balenas_core.distributions:PointDistribution",
    options=PointOptions,
    provides=("logits",),
)
argmax = Plugin(
    kind="selector",
    summary="argmax of the distribution's mean",
    api_version=1,
    implementation="balenas_core.selectors:ArgmaxSelector",
)
random_choice = Plugin(
    kind="selector",
    summary="random choice among draws: the control of every ranking",
    api_version=1,
    implementation="balenas_core.selectors:RandomSelector",
    options=RandomChoiceOptions,
)
local = Plugin(
    kind="executor",
    summary="this process, one item after the other",
    api_version=1,
    implementation="balenas_core.executor:LocalExecutor",
)
