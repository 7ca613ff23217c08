"""Changes of a search that go with any space, distribution and optimizer. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from balenas_core.config._problems import Problem, fail
from balenas_core.config._proxies import AUTO_PROXIES, resolve_proxies
from balenas_core.config._sections import registry_of


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PerturbationConfig(_Section):
    """Uniform noise on the architecture weights at which the network is trained.

    References:
        Chen and Hsieh 2020, "Stabilizing Differentiable Architecture Search via
        Perturbation-based Regularization", ICML (SDARTS-RS).
    """

    start: float = Field(
        default=0.03, ge=0, le=1, strict=True, description="Radius of the noise in epoch 0."
    )
    end: float = Field(
        default=0.3, ge=0, le=1, strict=True, description="Radius after the last epoch."
    )

    @field_validator("end")
    @classmethod
    def _at_least_start(cls, end: float, info: ValidationInfo) -> float:
        start = info.data.get("start", end)
        if end < start:
            fail([Problem((), f"must be at least start, {start} (got {end})")])
        return end


class CurvatureConfig(_Section):
    """Hessian of the validation loss in the architecture parameters, once an epoch."""

    iterations: int = Field(
        default=10,
        ge=1,
        strict=True,
        description="Hessian-vector products of the power iteration for the top eigenvalue.",
    )
    samples: int = Field(
        default=4, ge=1, strict=True, description="Random vectors of the estimate of the trace."
    )


class EarlyStoppingConfig(_Section):
    """End of the search when the top eigenvalue rises, and return to an earlier distribution.

    References:
        Zela et al. 2020, "Understanding and Robustifying Differentiable Architecture Search",
        ICLR (DARTS-ES).
    """

    window: int = Field(
        default=5,
        ge=1,
        strict=True,
        description="Epochs over which eigenvalues are averaged, and epochs to look back.",
    )
    ratio: float = Field(
        default=0.75,
        gt=0,
        lt=1,
        strict=True,
        description="Stop when the earlier mean is less than this share of the present one.",
    )


class InformedPriorConfig(_Section):
    """Means of the prior of the logits: effects of every choice on what cheap proxies say.

    How much they are believed is the optimizer's: ngvi's ``prior_precision``.
    """

    proxies: str = Field(
        default=AUTO_PROXIES,
        description="Proxies joined by '+', whose log-ranks are added up; auto for those that "
        "the space recommends.",
    )
    architectures: int = Field(
        default=480,
        ge=2,
        strict=True,
        description="Architectures that are ranked before the search, of all rounds together; each "
        "is scored once.",
    )
    rounds: int | None = Field(
        default=None,
        ge=1,
        strict=True,
        description="In how many rounds, of two architectures at least: the first has random ones, "
        "every other one draws of what those before have found. null for 12, or fewer where two "
        "rounds would have fewer architectures than the space has choices.",
    )
    scale: float = Field(
        default=1.0,
        ge=0,
        strict=True,
        description="Factor of the effects, which are in standard deviations of the score.",
    )

    @field_validator("proxies")
    @classmethod
    def _are_proxies(cls, proxies: str, info: ValidationInfo) -> str:
        if proxies == AUTO_PROXIES:
            return proxies
        return resolve_proxies(proxies, registry_of(info)).name


class ModifiersConfig(_Section):
    """Changes of a search that go with any space, distribution and optimizer."""

    perturbation: PerturbationConfig | None = Field(
        default=None, description="Train the network at perturbed architecture weights (SDARTS)."
    )
    curvature: CurvatureConfig | None = Field(
        default=None, description="Record top eigenvalue and trace of the Hessian each epoch."
    )
    early_stopping: EarlyStoppingConfig | None = Field(
        default=None,
        description="Stop when the top eigenvalue rises (DARTS-ES); records the curvature too.",
    )
    informed_prior: InformedPriorConfig | None = Field(
        default=None,
        description="Begin with what cheap proxies say of every choice, as the mean of the prior.",
    )
    limits: Mapping[str, Annotated[int, Field(ge=0, strict=True)]] = Field(
        default_factory=dict,
        description="Choice -> how often it may be chosen in each cell of the final "
        "architecture, such as {skip_connect: 2}.",
    )
