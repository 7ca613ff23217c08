"""The configuration of one training. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from balenas_core.config import (
    DEFAULT_DATASET,
    CheckpointConfig,
    DeviceName,
    OutputPath,
    PluginSection,
    Seed,
    Threads,
    section_validator,
)
from balenas_core.runs.directory import RunKind
from balenas_timm.recipes._recipe import TrainingRecipe

TRAINING = RunKind("recipe.yaml", "balenas train", frozenset({"last"}))

_FROM_DEFAULT: Any = None  # a validator replaces it


class TrainingJob(BaseModel):
    """Everything that defines the training of one network.

    Its keys are those of a search where they mean the same, so that flags and ``--set`` are alike.

    Example:
        >>> job = TrainingJob(architecture="DARTS_V2", space="darts")  # doctest: +SKIP
        >>> job.training.epochs  # doctest: +SKIP
        20
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, ser_json_inf_nan="constants"
    )

    architecture: str = Field(
        min_length=1, strict=True, description="The network, in its space's text form."
    )
    space: Annotated[PluginSection, section_validator("space")] = Field(
        description="Search space, with the size of the network."
    )
    data: Annotated[PluginSection, section_validator("dataset", default=DEFAULT_DATASET)] = Field(
        default=_FROM_DEFAULT, description="Images."
    )
    preset: str | None = Field(
        default=None, strict=True, description="Recipe that the other settings build on."
    )
    training: TrainingRecipe = Field(
        default_factory=TrainingRecipe, description="How the network is trained."
    )
    checkpoint: CheckpointConfig = Field(
        default_factory=CheckpointConfig, description="How often the state of a run is saved."
    )
    seed: Seed = 0
    device: DeviceName = Field(
        default="auto", strict=True, description="auto, cpu, cuda, cuda:N or mps."
    )
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32",
        description="Floating-point type of most computations; weights are float32.",
    )
    threads: Threads = None
    output: OutputPath = Field(
        default=None, description="Directory of the training; null to write nothing."
    )

    @field_validator("training", "checkpoint", mode="before")
    @classmethod
    def _empty_section(cls, value: Any) -> Any:
        return {} if value is None else value  # `training:` with every key commented out
