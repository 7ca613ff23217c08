"""Options of the baseline optimizers. Imports no torch."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from balenas_core import PluginOptions


class AdamOptions(PluginOptions):
    """Settings of Adam; the defaults are those of DARTS."""

    lr: float = Field(default=3e-4, gt=0, description="Step size.")
    beta1: float = Field(default=0.5, ge=0, lt=1, description="Decay of the mean gradient.")
    beta2: float = Field(default=0.999, ge=0, lt=1, description="Decay of the squared gradient.")
    weight_decay: float = Field(default=1e-3, ge=0, description="L2 penalty of the parameters.")
    unrolled: bool = Field(
        default=False,
        description="Differentiate through one step of the weights (second-order DARTS); costs "
        "about three more forward and backward passes a step.",
    )


class BayesByBackpropOptions(PluginOptions):
    """Settings of Adam on the mean and log-sigma of a Gaussian."""

    lr: float = Field(default=3e-4, gt=0, description="Step size of mean and log-sigma.")
    beta1: float = Field(default=0.5, ge=0, lt=1, description="Decay of the mean gradient.")
    beta2: float = Field(default=0.999, ge=0, lt=1, description="Decay of the squared gradient.")
    samples: int = Field(default=1, ge=1, description="Monte-Carlo samples a step.")
    prior_precision: float = Field(
        default=1.0, gt=0, description="Inverse variance of the Gaussian prior."
    )
    temperature: float = Field(default=1.0, gt=0, description="Factor of the KL divergence.")
    ess: float | None = Field(
        default=None,
        gt=0,
        description="Effective sample size that the KL divergence is divided by; the number of "
        "validation images if none.",
    )


class ReinforceOptions(PluginOptions):
    """Settings of the score-function gradient."""

    lr: float = Field(default=1e-2, gt=0, description="Step size of Adam.")
    beta1: float = Field(default=0.9, ge=0, lt=1, description="Decay of the mean gradient.")
    beta2: float = Field(default=0.999, ge=0, lt=1, description="Decay of the squared gradient.")
    samples: int = Field(default=1, ge=1, description="Architectures drawn a step.")
    reward: Literal["loss", "accuracy"] = Field(
        default="loss",
        description="What is maximised on the validation batch: minus the loss, or the accuracy "
        "in percent divided by 100.",
    )
    baseline_decay: float = Field(
        default=0.9, ge=0, lt=1, description="Decay of the moving mean of rewards."
    )
    entropy_weight: float = Field(
        default=0.0, ge=0, description="Factor of the entropy that is added to the reward."
    )


class RandomOptions(PluginOptions):
    """What random search prepares for its selector."""

    train_supernet: bool = Field(
        default=False,
        description="Train the supernet's weights at draws of the untouched distribution, for "
        "selectors that rank by inherited weights.",
    )


class RandomSearchOptions(PluginOptions):
    """Budget and measure of random search."""

    evaluations: int = Field(default=100, ge=1, description="Architectures drawn and evaluated.")
    evaluate: Literal["supernet", "benchmark"] = Field(
        default="supernet",
        description="Measure: validation accuracy with inherited weights, or the value in the "
        "space's benchmark.",
    )
    dataset: str | None = Field(
        default=None, description="The benchmark's data set; its first one if none."
    )


class EvolutionOptions(RandomSearchOptions):
    """Budget, measure and pressure of regularised evolution."""

    population: int = Field(default=10, ge=1, description="Architectures alive at a time.")
    tournament: int = Field(
        default=3, ge=1, description="Architectures drawn from it, the best of which is mutated."
    )
    brood: int = Field(
        default=1,
        ge=1,
        description="Children bred from one population, which workers of the executor can share; "
        "1 is the algorithm of the paper.",
    )

    @model_validator(mode="after")
    def _tournament_fits(self) -> Self:
        if self.tournament > self.population:
            raise ValueError(
                f"tournament ({self.tournament}) must be at most population ({self.population})"
            )
        return self
