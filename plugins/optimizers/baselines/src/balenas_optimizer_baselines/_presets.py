"""Named methods as configurations. Imports no torch.

Each is the method's published setting in the DARTS space, as far as it does not depend on
the space; a preset names no data and no space (``pc-darts`` sets options that darts and nb201
have). Where a setting differs, the comment says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Preset = Mapping[str, Any]

_TRAINING: Preset = {
    "epochs": 50,
    "batch_size": 64,
    "lr": 0.025,
    "lr_min": 0.001,
    "schedule": "cosine",
    "momentum": 0.9,
    "weight_decay": 3e-4,
    "clip": 5.0,
    "weights_at": "mean",
}
_ADAM: Preset = {"name": "adam", "lr": 3e-4, "beta1": 0.5, "beta2": 0.999, "weight_decay": 1e-3}
_POINT: Preset = {"name": "point", "initial_scale": 1e-3}
_SAMPLED: Preset = {**_TRAINING, "weights_at": "sample"}

DARTS: Preset = {
    # Liu et al. 2019, ICLR, appendix A.1; first order.
    "distribution": _POINT,
    "optimizer": _ADAM,
    "selector": {"name": "argmax"},
    "training": _TRAINING,
}

DARTS_SECOND_ORDER: Preset = {**DARTS, "optimizer": {**_ADAM, "unrolled": True}}

GDAS: Preset = {
    # Dong and Yang 2019, CVPR: temperature from 10 to 0.1, 250 epochs.
    "distribution": {
        "name": "gumbel_softmax",
        "initial_scale": 1e-3,
        "hard": True,
        "temperature_start": 10.0,
        "temperature_end": 0.1,
        "temperature_schedule": "linear",
    },
    "optimizer": _ADAM,
    "selector": {"name": "argmax"},
    "training": {**_SAMPLED, "epochs": 250},
}

SNAS: Preset = {
    # Xie et al. 2019, ICLR: 150 epochs. The paper trains weights and architecture on one
    # set and gives no annealing constants; here the sets are split as in DARTS.
    "distribution": {
        "name": "gumbel_softmax",
        "initial_scale": 1e-3,
        "hard": False,
        "temperature_start": 1.0,
        "temperature_end": 0.33,
        "temperature_schedule": "exponential",
    },
    "optimizer": _ADAM,
    "selector": {"name": "argmax"},
    "training": {**_SAMPLED, "epochs": 150},
}

DRNAS: Preset = {
    # Chen et al. 2021, ICLR, without progressive learning. The anchor takes the place of
    # Adam's weight decay.
    "distribution": {
        "name": "dirichlet",
        "initial_scale": 1e-3,
        "anchor": "l2",
        "anchor_scale": 1e-3,
    },
    "optimizer": {**_ADAM, "lr": 6e-4, "weight_decay": 0.0},
    "selector": {"name": "argmax"},
    "training": {**_SAMPLED, "epochs": 100},
}

PC_DARTS: Preset = {
    # Xu et al. 2020, ICLR: a quarter of the channels, weights of edges, batch 256,
    # 15 of the 50 epochs for network weights only.
    "space": {"partial_channels": 4, "edge_normalization": True},
    "distribution": _POINT,
    "optimizer": {**_ADAM, "lr": 6e-4},
    "selector": {"name": "argmax"},
    "training": {**_TRAINING, "batch_size": 256, "lr": 0.1, "lr_min": 0.0, "warmup_share": 0.3},
}

SDARTS_RS: Preset = {
    # Chen and Hsieh 2020, ICML: DARTS with uniform noise whose radius grows from 0.03 to 0.3.
    **DARTS,
    "modifiers": {"perturbation": {"start": 0.03, "end": 0.3}},
}

BALENAS_AUTHORS: Preset = {
    # Zhang et al. 2022, CVPR, as the authors' released optimizer has it.
    "distribution": {"name": "gaussian", "initial_scale": 1e-3, "initial_sigma": 1.0},
    "optimizer": {
        "name": "ngvi",
        "variant": "vadam",
        "lr": 3e-4,
        "beta1": 0.5,
        "beta2": 0.999,
        "prior_precision": 1.0,
        "mc_samples": 1,
    },
    "selector": {"name": "argmax"},
    "training": _TRAINING,
}

BALENAS: Preset = {
    # The same Gaussian, with weights trained at its draws, and for the first three eighths of the
    # search alone: while they are young, what has no weights looks best. Step and memory of the
    # curvature follow the length of the search. Decays and prior are the variant's own, so that
    # another one brings its own. docs/arena.md has the measurements.
    "distribution": {"name": "gaussian", "initial_scale": 1e-3, "initial_sigma": 1.0},
    "optimizer": {"name": "ngvi", "variant": "vadam", "mc_samples": 1},
    "selector": {"name": "argmax"},
    "training": {**_SAMPLED, "warmup_share": 0.375},
}

BALENAS_INFORMED: Preset = {
    # What cheap proxies say of every choice is the mean of the prior; weights that are trained at
    # draws of it need less of a start, and what is learned may go further.
    **BALENAS,
    "optimizer": {**BALENAS["optimizer"], "distance": 12.0},
    "training": {**_SAMPLED, "warmup_share": 0.25},
    "modifiers": {"informed_prior": {}},
}

BALENAS_CATEGORICAL: Preset = {
    # The Bayesian learning rule on the choices themselves instead of on Gaussian logits.
    "distribution": {
        "name": "gumbel_softmax",
        "initial_scale": 1e-3,
        "hard": False,
        "temperature_start": 1.0,
        "temperature_end": 0.33,
        "temperature_schedule": "exponential",
    },
    "optimizer": {"name": "ngvi_categorical", "beta1": 0.9, "clip_radius": 1.0},
    "selector": {"name": "argmax"},
    "training": _SAMPLED,
}

BALENAS_TF: Preset = {**BALENAS_INFORMED, "selector": {"name": "auto"}}

_UNIFORM: Preset = {
    "name": "gumbel_softmax",
    "initial_scale": 0.0,
    "hard": True,
    "temperature_start": 1.0,
    "temperature_end": 1.0,
}

RANDOM: Preset = {
    # Li and Talwalkar 2019, UAI: weights trained at uniform draws, then the best of 100
    # by inherited weights. The paper ranks 1,000 on one batch and 10 of them in full.
    "distribution": _UNIFORM,
    "optimizer": {"name": "random", "train_supernet": True},
    "selector": {"name": "random_search", "evaluations": 100, "evaluate": "supernet"},
    "training": _SAMPLED,
}

EVOLUTION: Preset = {
    # Real et al. 2019, AAAI, over weights trained as in RANDOM; population and tournament of
    # NAS-Bench-201's baseline.
    **RANDOM,
    "selector": {
        "name": "evolution",
        "evaluations": 100,
        "population": 10,
        "tournament": 3,
        "evaluate": "supernet",
    },
}
