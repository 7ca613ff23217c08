"""Options of the NAS-Bench-201 space. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from balenas_core.plugins.options import MOST_CELLS, MOST_CHANNELS, MixedCellOptions


class NB201Options(MixedCellOptions):
    """Size of the networks, and batch normalisation in the supernet.

    The defaults are a small size for embedded searches; the benchmark's own is ``channels: 16,
    cells_per_stage: 5`` (C and N in the paper).
    """

    full_size: ClassVar[Mapping[str, Any]] = {"channels": 16, "cells_per_stage": 5}

    channels: int = Field(
        default=8,
        ge=1,
        le=MOST_CHANNELS,
        description="Channels of the first of three stages (C); then 2C, 4C.",
    )
    cells_per_stage: int = Field(
        default=1, ge=1, le=MOST_CELLS, description="Cells in each stage (N)."
    )
    proxy_cells_per_stage: int = Field(
        default=5,
        ge=1,
        le=MOST_CELLS,
        description="Cells in each stage of the networks that proxies look at; never fewer than "
        "cells_per_stage. What a skip around convolutions is worth shows in deep networks only.",
    )
    batch_norm: Literal["batch", "running"] = Field(
        default="batch",
        description="Statistics that the supernet's cells use in evaluation: of the batch, or "
        "running averages.",
    )
    affine: bool = Field(
        default=False, description="Whether the supernet's cells learn scale and shift after it."
    )
    benchmark_file: Path | None = Field(
        default=None,
        description="Official file or folder of NAS-Bench-201 or NATS-Bench, or what 'bench "
        "import' made of one, to look architectures up in; null for what is installed.",
    )
