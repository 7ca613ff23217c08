"""Searches in TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from balenas_core.plugins.options import EverySteps, PluginOptions
from balenas_core.plugins.plugin import Plugin

if TYPE_CHECKING:
    from balenas_tracker_tensorboard._tensorboard import make_tracker as make_tracker

__all__ = ["TensorBoardOptions", "make_tracker", "plugin"]


class TensorBoardOptions(PluginOptions):
    """Options of the ``tensorboard`` tracker."""

    directory: Path | None = Field(
        default=None,
        description="Where event files go, in a folder of the run's name; null for the folder "
        "tensorboard of the run directory.",
    )
    every_steps: EverySteps = 50


plugin = Plugin(
    kind="tracker",
    summary="event files for TensorBoard",
    api_version=1,
    implementation="balenas_tracker_tensorboard._tensorboard:make_tracker",
    options=TensorBoardOptions,
)


def __getattr__(name: str) -> Any:
    if name == "make_tracker":
        from balenas_tracker_tensorboard import _tensorboard

        return _tensorboard.make_tracker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
