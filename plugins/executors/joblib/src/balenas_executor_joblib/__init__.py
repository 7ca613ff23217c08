"""Candidates in processes of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from balenas_core.plugins.options import WorkerOptions
from balenas_core.plugins.plugin import Plugin

if TYPE_CHECKING:
    from balenas_executor_joblib._joblib import JoblibExecutor as JoblibExecutor

__all__ = ["JoblibExecutor", "JoblibOptions", "plugin"]


class JoblibOptions(WorkerOptions):
    """Options of the ``joblib`` executor."""

    workers: int | None = Field(
        default=None,
        ge=1,
        le=4096,
        strict=True,
        description="Processes; null for as many as this process may use cores.",
    )


plugin = Plugin(
    kind="executor",
    summary="processes of this machine, by joblib's loky",
    api_version=1,
    implementation="balenas_executor_joblib._joblib:JoblibExecutor",
    options=JoblibOptions,
)


def __getattr__(name: str) -> Any:
    if name == "JoblibExecutor":
        from balenas_executor_joblib import _joblib

        return _joblib.JoblibExecutor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
