"""Options of the DARTS space. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from balenas_core.plugins.options import MOST_CELLS, MOST_CHANNELS, MixedCellOptions

Operation = Literal[
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
    "noise",
]


def _check_operations(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) != len(names):
        raise ValueError(f"every operation can be listed once; got {', '.join(names)}")
    if not set(names) - {"none"}:
        raise ValueError("list at least one operation other than none")
    return names


class DartsOptions(MixedCellOptions):
    """Size of the networks and candidates of the edges.

    The defaults are a small size for embedded searches. The paper searches with ``channels: 16,
    cells: 8`` and trains the result with ``channels: 36, cells: 20, auxiliary: true``.
    """

    full_size: ClassVar[Mapping[str, Any]] = {"channels": 36, "cells": 20}

    channels: int = Field(
        default=8,
        ge=1,
        le=MOST_CHANNELS,
        description="Channels of the first cells; doubled in each reduction.",
    )
    cells: int = Field(
        default=4,
        ge=3,  # with fewer there is no normal cell
        le=MOST_CELLS,
        description="Number of cells; those at 1/3 and 2/3 of them reduce.",
    )
    stem: Literal["cifar", "imagenet"] = Field(
        default="cifar",
        description="First layers: cifar keeps the image size, imagenet divides it by 8.",
    )
    auxiliary: bool = Field(
        default=False,
        description="Whether stand-alone networks have an auxiliary head at 2/3 of the depth.",
    )
    operations: (
        Literal["darts", "s1", "s2", "s3", "s4"]
        | Annotated[tuple[Operation, ...], Field(min_length=1), AfterValidator(_check_operations)]
    ) = Field(
        default="darts",
        description="Candidates of every edge: a list, or the name of a set (darts, or the four "
        "spaces s1 to s4 of RobustDARTS).",
    )
