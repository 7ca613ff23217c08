"""Named recipes. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from balenas_core.errors import UsageError
from balenas_core.plugins.suggest import did_you_mean

DEFAULT = "quick"

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "quick": {"training": {"epochs": 20, "batch_size": 64, "lr": 0.05}},
        "darts-cifar": {
            "space": {"name": "darts", "channels": 36, "cells": 20, "auxiliary": True},
            "training": {
                "epochs": 600,
                "batch_size": 96,
                "optimizer": "momentum",
                "lr": 0.025,
                "momentum": 0.9,
                "weight_decay": 3e-4,
                "schedule": "cosine",
                "lr_min": 0.0,
                "clip": 5.0,
                "cutout": 16,
                "drop_path": 0.2,
                "auxiliary_weight": 0.4,
            },
        },
        "nb201": {
            "space": {"name": "nb201", "channels": 16, "cells_per_stage": 5},
            "training": {
                "epochs": 200,
                "batch_size": 256,
                "optimizer": "nesterov",
                "lr": 0.1,
                "momentum": 0.9,
                "weight_decay": 5e-4,
                "schedule": "cosine",
                "lr_min": 0.0,
                "clip": None,
            },
        },
    }
)
"""Name -> settings of a job: the recipe, and the space and size of the network it is for.

``quick`` is for small images and a first look. The augmentation by random crops (padding of
4 for images of 32 pixels) and mirroring is that of the data set.

References:
    Liu et al. 2019, "DARTS", ICLR, appendix A.2.1 (``darts-cifar``). Dong and Yang 2020,
    "NAS-Bench-201", ICLR (``nb201``). Deviation: the last batch of an epoch is left out where
    it is smaller than the others.
"""


def preset(name: str) -> Mapping[str, Any]:
    """Return the settings of a preset.

    Raises:
        UsageError: There is no such preset; the message suggests a close one.
    """
    if name not in PRESETS:
        raise UsageError(
            f"no preset {name!r} of a training.{did_you_mean(name, PRESETS)} Known: "
            f"{', '.join(PRESETS)}; settings of your own go into a file, with --config."
        )
    return PRESETS[name]
