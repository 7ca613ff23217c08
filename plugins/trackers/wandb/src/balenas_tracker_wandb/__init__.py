"""Searches in Weights & Biases, and in trackio, which has the same interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from balenas_core.plugins.options import EverySteps, PluginOptions
from balenas_core.plugins.plugin import Plugin

if TYPE_CHECKING:
    from balenas_tracker_wandb._wandb import make_tracker as make_tracker

__all__ = ["WandbOptions", "make_tracker", "plugin"]


class WandbOptions(PluginOptions):
    """Options of the ``wandb`` tracker."""

    module: Literal["wandb", "trackio"] = Field(
        default="wandb", description="Library that records the run."
    )
    project: str = Field(default="balenas", min_length=1, description="Project of the run.")
    init: dict[str, Any] = Field(
        default_factory=dict,
        description="Further arguments of the library's init(), such as entity, mode or space_id.",
    )
    every_steps: EverySteps = 50


plugin = Plugin(
    kind="tracker",
    summary="runs in Weights & Biases or trackio",
    api_version=1,
    implementation="balenas_tracker_wandb._wandb:make_tracker",
    options=WandbOptions,
)


def __getattr__(name: str) -> Any:
    if name == "make_tracker":
        from balenas_tracker_wandb import _wandb

        return _wandb.make_tracker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
