"""How often a run's state is saved. Imports no torch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class CheckpointConfig(BaseModel):
    """Checkpoints of a run, at the end of every epoch and between. They change no result."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    every_steps: int = Field(
        default=100,
        ge=0,
        strict=True,
        description="Steps between checkpoints within an epoch; 0 for epoch ends only.",
    )
    keep: int = Field(
        default=2,
        ge=1,
        strict=True,
        description="Newest checkpoints kept; with two, one can be damaged.",
    )
