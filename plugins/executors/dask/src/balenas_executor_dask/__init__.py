"""Candidates on a Dask cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from balenas_core.plugins.options import WorkerOptions
from balenas_core.plugins.plugin import Plugin

if TYPE_CHECKING:
    from balenas_executor_dask._dask import DaskExecutor as DaskExecutor

__all__ = ["DaskExecutor", "DaskOptions", "plugin"]


class DaskOptions(WorkerOptions):
    """Options of the ``dask`` executor."""

    address: str | None = Field(
        default=None,
        min_length=1,
        description="Scheduler of a running cluster, such as tcp://host:8786; null starts one on "
        "this machine.",
    )
    workers: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        strict=True,
        description="Processes of the cluster that is started, null for as many as there are "
        "cores; of a running one, how many are used at once at most, null for all.",
    )
    timeout: float = Field(
        default=15.0, gt=0, description="Seconds in which a running cluster must answer."
    )


plugin = Plugin(
    kind="executor",
    summary="workers of a Dask cluster, running or started here",
    api_version=1,
    implementation="balenas_executor_dask._dask:DaskExecutor",
    options=DaskOptions,
)


def __getattr__(name: str) -> Any:
    if name == "DaskExecutor":
        from balenas_executor_dask import _dask

        return _dask.DaskExecutor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
