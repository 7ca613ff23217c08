"""Settings of trainings. Imports no torch.

The augmentation by random crops (padding of 4 for images of 32 pixels) and mirroring is that of
the data set.

References:
    Liu et al. 2019, "DARTS", ICLR, appendix A.2.1 (``DARTS_CIFAR``). Dong and Yang 2020,
    "NAS-Bench-201", ICLR (``NB201``). Deviation: the last batch of an epoch is left out where
    it is smaller than the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

QUICK: Final[Mapping[str, Any]] = {"training": {"epochs": 20, "batch_size": 64, "lr": 0.05}}
DARTS_CIFAR: Final[Mapping[str, Any]] = {
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
}
NB201: Final[Mapping[str, Any]] = {
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
}
