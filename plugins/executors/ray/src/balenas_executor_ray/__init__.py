"""Candidates on a Ray cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from balenas_core.plugins.options import WorkerOptions
from balenas_core.plugins.plugin import Plugin

if TYPE_CHECKING:
    from balenas_executor_ray._ray import RayExecutor as RayExecutor

__all__ = ["RayExecutor", "RayOptions", "plugin"]


class RayOptions(WorkerOptions):
    """Options of the ``ray`` executor."""

    address: str | None = Field(
        default=None,
        min_length=1,
        description="A running cluster: auto for the one of this machine, HOST:6379, or "
        "ray://HOST:10001; null starts one on this machine.",
    )
    workers: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        strict=True,
        description="Processes of the cluster that is started, null for as many as there are "
        "cores; of a running one, how many are used at once at most, null for all.",
    )
    cpus: float = Field(default=1.0, gt=0, description="CPUs that a worker claims.")
    gpus: float = Field(default=0.0, ge=0, description="GPUs that a worker claims.")
    timeout: float = Field(
        default=15.0, gt=0, description="Seconds in which a running cluster must answer."
    )


plugin = Plugin(
    kind="executor",
    summary="workers of a Ray cluster, running or started here",
    api_version=1,
    implementation="balenas_executor_ray._ray:RayExecutor",
    options=RayOptions,
)


def __getattr__(name: str) -> Any:
    if name == "RayExecutor":
        from balenas_executor_ray import _ray

        return _ray.RayExecutor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
