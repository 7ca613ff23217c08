"""Searches in MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from balenas_core.plugins.options import EverySteps, PluginOptions
from balenas_core.plugins.plugin import Plugin

if TYPE_CHECKING:
    from balenas_tracker_mlflow._mlflow import make_tracker as make_tracker

__all__ = ["MlflowOptions", "make_tracker", "plugin"]


class MlflowOptions(PluginOptions):
    """Options of the ``mlflow`` tracker."""

    uri: str | None = Field(
        default=None,
        description="Server or database, such as http://localhost:5000 or sqlite:///mlflow.db; "
        "null for MLflow's own choice, MLFLOW_TRACKING_URI if it is set.",
    )
    experiment: str = Field(
        default="balenas", min_length=1, description="Experiment; made if there is none."
    )
    every_steps: EverySteps = 50


plugin = Plugin(
    kind="tracker",
    summary="runs in an MLflow server or database",
    api_version=1,
    implementation="balenas_tracker_mlflow._mlflow:make_tracker",
    options=MlflowOptions,
)


def __getattr__(name: str) -> Any:
    if name == "make_tracker":
        from balenas_tracker_mlflow import _mlflow

        return _mlflow.make_tracker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
