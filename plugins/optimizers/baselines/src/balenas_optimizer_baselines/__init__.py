"""Baseline optimizers and searches. This module is light: it imports no torch."""

from __future__ import annotations

from balenas_core import Plugin
from balenas_optimizer_baselines._options import (
    AdamOptions,
    BayesByBackpropOptions,
    EvolutionOptions,
    RandomOptions,
    RandomSearchOptions,
    ReinforceOptions,
)

adam = Plugin(
    kind="optimizer",
    summary="Adam on the parameters of any distribution; DARTS with distribution 'point'",
    api_version=1,
    implementation="balenas_optimizer_baselines._adam:AdamOptimizer",
    options=AdamOptions,
    needs={"space": ("supernet",)},
    defaults={"distribution": "point"},
)
bayes_by_backprop = Plugin(
    kind="optimizer",
    summary="Adam on mean and log-sigma of the Gaussian: NGVI without the natural gradient",
    api_version=1,
    implementation="balenas_optimizer_baselines._bayes_by_backprop:BayesByBackpropOptimizer",
    options=BayesByBackpropOptions,
    needs={"space": ("supernet",), "distribution": ("gaussian",)},
    defaults={"distribution": "gaussian"},
)
reinforce = Plugin(
    kind="optimizer",
    summary="score-function gradient on discrete draws, with a moving-mean baseline",
    api_version=1,
    implementation="balenas_optimizer_baselines._reinforce:ReinforceOptimizer",
    options=ReinforceOptions,
    needs={"space": ("supernet",), "distribution": ("categorical",)},
    defaults={"distribution": "point"},
)
random = Plugin(
    kind="optimizer",
    summary="learns no distribution: selectors choose from the prior, or from a trained supernet",
    api_version=1,
    implementation="balenas_optimizer_baselines._random:RandomOptimizer",
    options=RandomOptions,
    defaults={"distribution": "point"},
)
random_search = Plugin(
    kind="selector",
    summary="best of uniform draws, by inherited weights or by a benchmark",
    api_version=1,
    implementation="balenas_optimizer_baselines._random_search:RandomSearchSelector",
    options=RandomSearchOptions,
)
evolution = Plugin(
    kind="selector",
    summary="regularised evolution, by inherited weights or by a benchmark",
    api_version=1,
    implementation="balenas_optimizer_baselines._evolution:EvolutionSelector",
    options=EvolutionOptions,
)


def _preset(summary: str, name: str) -> Plugin:
    return Plugin(
        kind="preset",
        summary=summary,
        api_version=1,
        implementation=f"balenas_optimizer_baselines._presets:{name}",
    )


darts = _preset("DARTS, first order: point + adam", "DARTS")
darts_2nd = _preset("DARTS, second order: point + unrolled adam", "DARTS_SECOND_ORDER")
gdas = _preset("GDAS: hard Gumbel-softmax + adam", "GDAS")
snas = _preset("SNAS: Gumbel-softmax + adam", "SNAS")
drnas = _preset("DrNAS: Dirichlet with an anchor + adam", "DRNAS")
pc_darts = _preset("PC-DARTS: DARTS on a quarter of the channels, with edge weights", "PC_DARTS")
sdarts_rs = _preset("SmoothDARTS: DARTS with random perturbation", "SDARTS_RS")
balenas = _preset("BaLeNAS: Gaussian + ngvi, weights at samples and first alone, argmax", "BALENAS")
balenas_authors = _preset(
    "BaLeNAS as released: Gaussian + ngvi, short steps, weights at the mean", "BALENAS_AUTHORS"
)
balenas_categorical = _preset(
    "BaLeNAS on the choices: categorical + ngvi_categorical, argmax", "BALENAS_CATEGORICAL"
)
balenas_informed = _preset(
    "BaLeNAS that begins with what cheap proxies say of every choice", "BALENAS_INFORMED"
)
balenas_tf = _preset("BaLeNAS-TF: as balenas-informed, then the space's own stages", "BALENAS_TF")
random_preset = _preset("random search with weight sharing", "RANDOM")
evolution_preset = _preset("regularised evolution with weight sharing", "EVOLUTION")
