"""Declarations of the plugins that come with the core. Imports no torch."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from balenas_core.plugins.options import ExecutorOptions, PluginOptions
from balenas_core.plugins.plugin import Plugin
from balenas_core.plugins.selector_options import (
    BenchmarkOptions,
    PerturbationSelectorOptions,
    RandomChoiceOptions as RandomChoiceOptions,
    RefineOptions,
    SupernetOptions,
    TrainOptions,
)


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


class GumbelSoftmaxOptions(PluginOptions):
    """Start, relaxation and temperature of the Gumbel-softmax distribution."""

    initial_scale: float = Field(
        default=1e-3, ge=0, description="Standard deviation of the random initial logits."
    )
    hard: bool = Field(
        default=False,
        description="Use one-hot weights in the forward pass and the gradient of the relaxed "
        "ones in the backward pass (straight-through, GDAS): only chosen operations run.",
    )
    temperature_start: float = Field(
        default=1.0, gt=0, description="Temperature in the first epoch."
    )
    temperature_end: float = Field(
        default=0.33, gt=0, description="Temperature in the last epoch; at most the first one."
    )
    temperature_schedule: Literal["linear", "exponential"] = Field(
        default="exponential", description="How the temperature goes from start to end."
    )

    @model_validator(mode="after")
    def _temperature_falls(self) -> Self:
        if self.temperature_end > self.temperature_start:
            raise ValueError(
                f"temperature_end ({self.temperature_end}) must be at most temperature_start "
                f"({self.temperature_start})"
            )
        return self


class DirichletOptions(PluginOptions):
    """Start and anchor of the Dirichlet distribution."""

    initial_scale: float = Field(
        default=1e-3,
        ge=0,
        description="Standard deviation of the random initial parameters; 0 gives the uniform "
        "distribution over the simplex.",
    )
    anchor: Literal["l2", "kl", "none"] = Field(
        default="l2",
        description="Distance to the uniform distribution that is added to the loss.",
    )
    anchor_scale: float = Field(default=1e-3, ge=0, description="Factor of that distance.")


gaussian = Plugin(
    kind="distribution",
    summary="Gaussian over logits with diagonal covariance (BaLeNAS)",
    api_version=1,
    implementation="balenas_core.distributions:GaussianDistribution",
    options=GaussianOptions,
    provides=("gaussian", "offset"),
)
point = Plugin(
    kind="distribution",
    summary="one point of logits, relaxed by softmax (DARTS)",
    api_version=1,
    implementation="balenas_core.distributions:PointDistribution",
    options=PointOptions,
    provides=("logits", "categorical", "offset"),
)
gumbel_softmax = Plugin(
    kind="distribution",
    summary="categorical relaxed by Gumbel noise and a temperature (SNAS; GDAS with hard: true)",
    api_version=1,
    implementation="balenas_core.distributions:GumbelSoftmaxDistribution",
    options=GumbelSoftmaxOptions,
    provides=("logits", "categorical", "gumbel", "offset"),
)
dirichlet = Plugin(
    kind="distribution",
    summary="Dirichlet over operation weights, anchored at the uniform one (DrNAS)",
    api_version=1,
    implementation="balenas_core.distributions:DirichletDistribution",
    options=DirichletOptions,
    provides=("dirichlet", "offset"),
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
    provides=("stage",),
)
supernet = Plugin(
    kind="selector",
    summary="validation loss of draws with the weights they inherit from the supernet",
    api_version=1,
    implementation="balenas_core.selectors:SupernetSelector",
    options=SupernetOptions,
    provides=("stage",),
)
train = Plugin(
    kind="selector",
    summary="short training of draws by successive halving, under a budget of epochs",
    api_version=1,
    implementation="balenas_core.selectors:TrainSelector",
    options=TrainOptions,
    provides=("stage",),
)
refine = Plugin(
    kind="selector",
    summary="short trainings on all images, as a small Bayesian model says, until one is clear",
    api_version=1,
    implementation="balenas_core.selectors:RefineSelector",
    options=RefineOptions,
    provides=("stage",),
)
benchmark = Plugin(
    kind="selector",
    summary="real results of draws in the space's benchmark: the oracle of regret studies",
    api_version=1,
    implementation="balenas_core.selectors:BenchmarkSelector",
    options=BenchmarkOptions,
    provides=("stage",),
)
perturbation = Plugin(
    kind="selector",
    summary="keeps in each slot the operation without which the supernet is worst (DARTS-PT)",
    api_version=1,
    implementation="balenas_core.selectors:PerturbationSelector",
    options=PerturbationSelectorOptions,
)
local = Plugin(
    kind="executor",
    summary="this process, one candidate after the other",
    api_version=1,
    implementation="balenas_core.execution:LocalExecutor",
    options=ExecutorOptions,
)
