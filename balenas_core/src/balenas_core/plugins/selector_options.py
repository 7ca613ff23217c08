"""Options of the selectors that come with the core. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from balenas_core.plugins.options import PluginOptions, PoolOptions as PoolOptions


class RandomChoiceOptions(PoolOptions):
    """Size of the pool that the random selector chooses from."""


class SupernetOptions(PoolOptions):
    """The pool that is ranked with inherited weights, and by what."""

    criterion: Literal["loss", "accuracy"] = Field(
        default="loss", description="What ranks networks with inherited weights."
    )
    optional: bool = Field(
        default=False,
        description="Whether to keep the order as it is where no supernet was trained, instead of "
        "refusing.",
    )


class BenchmarkOptions(PoolOptions):
    """Which real result ranks the pool."""

    dataset: str | None = Field(
        default=None, description="Dataset of the benchmark; null for its first."
    )
    metric: str | None = Field(
        default=None, description="Metric of the benchmark; null for its first."
    )


class TrainOptions(PoolOptions):
    """Short training by successive halving."""

    budget: int = Field(
        default=12,
        ge=1,
        strict=True,
        description="Epochs of training at most, of all candidates together.",
    )
    halving: int = Field(
        default=2,
        ge=2,
        strict=True,
        description="Of so many candidates one goes on to the next, longer training.",
    )
    lr: float = Field(
        default=0.05, gt=0, description="Learning rate of SGD at the start of its cosine."
    )
    momentum: float = Field(default=0.9, ge=0, lt=1, description="Momentum of SGD, Nesterov's.")
    weight_decay: float = Field(default=5e-4, ge=0, description="L2 penalty of the weights.")


class RefineOptions(PoolOptions):
    """Short trainings on all images, one after the other, as a small Bayesian model says."""

    trainings: int = Field(
        default=16, ge=1, strict=True, description="Trainings at most, of all candidates together."
    )
    confidence: float = Field(
        default=0.9,
        gt=0,
        le=1,
        description="Stop when a candidate is the best with this probability.",
    )
    start: Literal["auto", "supernet", "scratch"] = Field(
        default="auto",
        description="Weights that a training begins with: those of the supernet, fresh ones, or "
        "the supernet's where it was trained (auto).",
    )
    epochs: int | None = Field(
        default=None,
        ge=1,
        strict=True,
        description="Epochs of every training, on all images; null for 2 from the supernet's "
        "weights, and 8 from scratch.",
    )
    batch_size: int = Field(
        default=128, ge=1, strict=True, description="Images per step of a training."
    )
    held_out: float = Field(
        default=0.15,
        gt=0,
        lt=1,
        description="Share of the images that measures a training, other ones for every round.",
    )
    lr: float | None = Field(
        default=None,
        gt=0,
        description="Largest learning rate of SGD, in the middle of one cycle; null for 0.05 from "
        "the supernet's weights, and 0.2 from scratch.",
    )
    momentum: float = Field(default=0.9, ge=0, lt=1, description="Momentum of SGD, Nesterov's.")
    weight_decay: float = Field(default=5e-4, ge=0, description="L2 penalty of the weights.")


class PerturbationSelectorOptions(PluginOptions):
    """How the supernet is measured while its operations are dropped."""

    criterion: Literal["loss", "accuracy"] = Field(
        default="loss", description="What must get worst when an operation is dropped."
    )
    batches: int = Field(
        default=4,
        ge=1,
        strict=True,
        description="Validation batches that each measurement looks at, at most.",
    )
