"""Baseline optimizers. This module is light: it imports no torch."""

from __future__ import annotations

from balenas_core import Plugin
from balenas_optimizer_baselines._options import AdamOptions

adam = Plugin(
    kind="optimizer",
    summary="Adam on the parameters of any distribution; DARTS with distribution 'point'",
    api_version=1,
    implementation="balenas_optimizer_baselines._adam:AdamOptimizer",
    options=AdamOptions,
    needs={"space": ("supernet",)},
    defaults={"distribution": "point"},
)
random = Plugin(
    kind="optimizer",
    summary="random search: learns nothing, so that selectors choose from the prior",
    api_version=1,
    implementation="balenas_optimizer_baselines._random:RandomOptimizer",
    defaults={"distribution": "point"},
)
