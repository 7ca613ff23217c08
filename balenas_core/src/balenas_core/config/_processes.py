"""What several processes of one search share."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from balenas_core.config._problems import Problem, fail


class ProcessesConfig(BaseModel):
    """What the processes of a search under torchrun share beside gradients."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    noise: Literal["auto", "own", "shared"] = Field(
        default="auto",
        description="Whose draws a step makes: own, as many samples as processes, or shared, the "
        "same in all of them; auto is own where the optimizer can learn from that and statistics "
        "of batch normalisation are not synchronised.",
    )
    sync_batch_norm: bool = Field(
        default=False,
        strict=True,
        description="Whether batch normalisation sees the images of all processes; needs shared "
        "noise.",
    )

    @field_validator("sync_batch_norm")
    @classmethod
    def _with_shared_noise(cls, sync_batch_norm: bool, info: ValidationInfo) -> bool:
        if sync_batch_norm and info.data.get("noise") == "own":
            fail([Problem((), "needs the same operations in every process; set processes.noise to "
                              "shared (got own)")])  # fmt: skip
        return sync_batch_norm
