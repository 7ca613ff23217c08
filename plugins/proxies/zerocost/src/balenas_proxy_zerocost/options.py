"""Options of the proxies. Imports pydantic, never torch."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from balenas_core.plugins.options import PluginOptions, PoolOptions


class GraspOptions(PluginOptions):
    """Options of the ``grasp`` proxy."""

    temperature: float = Field(
        1.0, gt=0, description="divides the logits; 1 as in the released code, 200 in the paper"
    )


class ZicoOptions(PluginOptions):
    """Options of the ``zico`` proxy."""

    parts: int = Field(2, ge=2, description="number of parts that the batch is cut into")


class LogsynflowOptions(PluginOptions):
    """Options of the ``logsynflow`` proxy."""

    repeats: int = Field(
        0, ge=0, description="fresh Kaiming-normal weights to average over; 0 takes those given"
    )


class ZenOptions(PluginOptions):
    """Options of the ``zen`` proxy."""

    alpha: float = Field(0.01, gt=0, description="size of the perturbation of the input")
    weights: Literal["gaussian", "given"] = Field(
        "gaussian", description="weights: fresh standard-normal ones, as published, or as given"
    )
    images: Literal["gaussian", "batch"] = Field(
        "gaussian", description="input: standard-normal, as published, or the batch's images"
    )
    repeats: int = Field(1, ge=1, description="draws of weights and input to average over")
    seed: int = Field(0, ge=0, description="seed of weights, input and perturbation")


class SwapOptions(PluginOptions):
    """Options of the ``swap`` proxy."""

    images: int | None = Field(
        16, ge=1, description="images of the batch to use, as published; null for all"
    )
    repeats: int = Field(
        0, ge=0, description="fresh standard-normal weights to average over; 0 takes those given"
    )
    mu: float | None = Field(
        None, description="regularisation: preferred number of parameters, in units of `unit`"
    )
    sigma: float | None = Field(
        None, gt=0, description="regularisation: width, in units of `unit` squared"
    )
    unit: float = Field(1e6, gt=0, description="parameters that `mu` and `sigma` count as one")
    seed: int = Field(0, ge=0, description="seed of fresh weights")

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.mu is None) != (self.sigma is None):
            raise ValueError("`mu` and `sigma` go together: give both, or neither")
        return self


class MecoOptions(PluginOptions):
    """Options of the ``meco`` proxy."""

    image: Literal["gaussian", "batch"] = Field(
        "gaussian", description="one standard-normal image, as published, or the batch's first"
    )
    size: int | None = Field(
        64, ge=1, le=4096, description="height and width of the normal image; null for the batch's"
    )
    modules: Literal["all", "leaves"] = Field(
        "all",
        description="modules whose output counts: all, as published, or only those "
        "without children",
    )
    seed: int = Field(0, ge=0, description="seed of the image")


class NtkOptions(PluginOptions):
    """Options of the ``ntk`` proxy."""

    images: int | None = Field(
        16, ge=2, description="images of the batch to use, as published; null for all"
    )


class LinearRegionsOptions(PluginOptions):
    """Options of the ``linear_regions`` proxy."""

    samples: int = Field(1000, ge=1, le=1_000_000, description="number of random inputs")
    size: int | None = Field(
        None, ge=1, le=4096, description="height and width of the inputs; null for the batch's"
    )
    seed: int = Field(0, ge=0, description="seed of the inputs")


class AzNasOptions(PluginOptions):
    """Options of the AZ-NAS proxies."""

    weights: Literal["kaiming", "given"] = Field(
        "kaiming", description="weights: fresh Kaiming-normal ones, as published, or as given"
    )
    images: Literal["gaussian", "batch"] = Field(
        "gaussian", description="input: standard-normal, as published, or the batch's images"
    )
    seed: int = Field(0, ge=0, description="seed of weights, input and probe")


class AzNasSelectorOptions(AzNasOptions, PoolOptions):
    """The pool that is ranked as by AZ-NAS, and options of its proxies."""


class TeNasSelectorOptions(NtkOptions, LinearRegionsOptions, PoolOptions):
    """The pool that is ranked by the two proxies of TE-NAS, and their options."""


class ParamsOptions(PluginOptions):
    """Options of the ``params`` proxy."""

    alive: bool = Field(
        False, description="count only parameters on a path from the input to the output"
    )
