"""Sizes of a search, and the images it sees."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
IMAGES = SHARED / "cifar10_12k.npz"


@dataclass(frozen=True)
class Setting:
    """Space and size of a search.

    Args:
        name: Part of every run's folder; results of two settings are never mixed.
        space: Section of the configuration.
        image_side: Pixels; the images are averaged down to them.
        epochs: Of every method.
        batch_size: Of both halves.
        step_factor: What multiplies the step size of every preset's architecture. A search here
            makes 3,120 steps, where those of the papers make 20,000 and more.
        measured_epochs: Epochs between two measures of a distribution.
    """

    name: str
    space: Mapping[str, Any]
    image_side: int = 16
    epochs: int = 40
    batch_size: int = 64
    step_factor: float = 10.0
    measured_epochs: int = 1
    images: Path = field(default=IMAGES)


_NB201: Mapping[str, Any] = {"name": "nb201", "channels": 8, "cells_per_stage": 1}

SETTINGS = {
    setting.name: setting
    for setting in (
        Setting("nb201", _NB201),
        Setting("nb201-short", _NB201, epochs=12),
        Setting(
            "nb1shot1",
            {
                "name": "nb1shot1",
                "space": "s1",
                "channels": 8,
                "cells": 3,
                "benchmark_folder": str(SHARED),
            },
            epochs=20,
            measured_epochs=5,
        ),
    )
}


def pooled_images(setting: Setting, output: Path) -> Path:
    """Return the file of images at the setting's size, made by averaging blocks of pixels."""
    path = output / f"{setting.images.stem}_{setting.image_side}.npz"
    if not path.exists():
        output.mkdir(parents=True, exist_ok=True)
        with np.load(setting.images, allow_pickle=False) as arrays:
            small = {name: arrays[name] for name in ("y_train", "y_test")}
            for name in ("x_train", "x_test"):
                block = arrays[name].shape[1] // setting.image_side
                small[name] = _averaged(arrays[name], block)
        temporary = path.with_suffix(f".{os.getpid()}.npz")
        np.savez(temporary, **small)
        os.replace(temporary, path)
    return path


def _averaged(images: NDArray[np.uint8], block: int) -> NDArray[np.uint8]:
    count, height, width, channels = images.shape
    blocks = images.reshape(count, height // block, block, width // block, block, channels)
    averaged: NDArray[np.uint8] = blocks.mean(axis=(2, 4)).round().astype(np.uint8)
    return averaged
