"""Options of the NAS-Bench-1Shot1 spaces. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from balenas_core.plugins.options import MOST_CELLS, MOST_CHANNELS, PluginOptions


class NB1Shot1Options(PluginOptions):
    """Which of the three spaces, and the size of the networks.

    The defaults are a small size for embedded searches. The paper searches with ``channels: 16,
    cells: 9``; NAS-Bench-101 trains with ``channels: 128, cells: 9``.
    """

    full_size: ClassVar[Mapping[str, Any]] = {"channels": 128, "cells": 9}

    space: Literal["s1", "s2", "s3"] = Field(
        default="s1", description="Numbers of parents of the nodes: one of three spaces."
    )
    channels: int = Field(
        default=8,
        ge=1,
        le=MOST_CHANNELS,
        description="Channels of the first cells; doubled at 1/3 and 2/3.",
    )
    cells: int = Field(default=3, ge=3, le=MOST_CELLS, description="Number of cells.")
    benchmark_folder: Path | None = Field(
        default=None,
        description="Folder with NAS-Bench-101's results in compact form (nb101.npz and "
        "nb1shot1_index.npz), to look chosen architectures up in.",
    )
