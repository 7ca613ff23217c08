"""Small networks of every space, for the tests beside this file."""

from __future__ import annotations

from pathlib import Path

import timm
import torch
from torch import nn

import balenas_timm  # noqa: F401 (registers the models)
from balenas_core.random import generator, seeded
from balenas_timm import Blueprint, Normalized, save_weights

NB201 = (
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|nor_conv_3x3~1|"
    "+|skip_connect~0|avg_pool_3x3~1|nor_conv_3x3~2|"
)
MODELS = {
    "balenas_darts": {"genotype": "DARTS_V2", "channels": 4, "cells": 3},
    "balenas_nb201": {"genotype": NB201, "channels": 4, "cells_per_stage": 2},
    "balenas_nb1shot1": {
        "genotype": "conv3x3-bn-relu(0)|conv1x1-bn-relu(0,1)|maxpool3x3(1,2)"
        "|conv3x3-bn-relu(0,2)|output(3,4)",
        "channels": 8,
        "cells": 3,
    },
    "balenas_timm_stages": {
        "genotype": "k3e3|skip/k5e3+se|k3e3",
        "widths": [4, 8],
        "strides": [1, 2],
        "layers": 2,
        "kernels": [3, 5],
    },
}


def make(name: str, seed: int = 0, **keywords: object) -> nn.Module:
    with seeded(seed):
        return timm.create_model(name, **{**MODELS[name], **keywords})


def images(batch: int = 2, channels: int = 3, side: int = 32, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, channels, side, side, generator=generator(seed))


def blueprint_of(name: str, **changes: object) -> Blueprint:
    options = dict(MODELS[name])
    known = {
        "architecture": options.pop("genotype"),
        "space": {"name": name.removeprefix("balenas_"), **options},
        "input_shape": (3, 32, 32),
        "num_classes": 10,
        "normalization": Normalized(mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.1)),
        "class_names": tuple("abcdefghij"),
        "provenance": {"seed": 3},
    }
    return Blueprint(**{**known, **changes})


def save(path: Path, blueprint: Blueprint, seed: int = 0) -> nn.Module:
    with seeded(seed):
        network = blueprint.build()
    save_weights(path, network.state_dict(), blueprint)
    return network.eval()
