"""Searches as jobs of Slurm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from balenas_core.plugins.options import WorkerOptions
from balenas_core.plugins.plugin import Plugin

if TYPE_CHECKING:
    from balenas_executor_slurm._slurm import SlurmExecutor as SlurmExecutor

__all__ = ["SlurmExecutor", "SlurmOptions", "plugin"]


class SlurmOptions(WorkerOptions):
    """Options of the ``slurm`` executor."""

    folder: Path = Field(
        default=Path("slurm-jobs"),
        description="Folder of scripts, logs and answers; every node must see it.",
    )
    workers: int = Field(
        default=16, ge=1, le=100_000, strict=True, description="Jobs in the queue at once."
    )
    cluster: Literal["slurm", "local"] = Field(
        default="slurm",
        description="slurm, or local for processes of this machine, to try a sweep out.",
    )
    parameters: dict[str, str | int | float] = Field(
        default={},
        description="What a job asks for, by submitit's names: timeout_min, mem_gb, cpus_per_task, "
        "gpus_per_node, slurm_partition, ...",
    )


plugin = Plugin(
    kind="executor",
    summary="a job of Slurm for each item, by submitit: for sweeps, whose items take long",
    api_version=1,
    implementation="balenas_executor_slurm._slurm:SlurmExecutor",
    options=SlurmOptions,
)


def __getattr__(name: str) -> Any:
    if name == "SlurmExecutor":
        from balenas_executor_slurm import _slurm

        return _slurm.SlurmExecutor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
