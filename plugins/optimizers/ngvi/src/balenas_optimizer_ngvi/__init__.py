"""Natural-gradient variational inference for any PyTorch parameters.

Importing this package imports no torch; the optimizer comes when its name is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from balenas_core import Plugin
from balenas_optimizer_ngvi._config import (
    CategoricalOptions as CategoricalOptions,
    NGVIOptions as NGVIOptions,
)
from balenas_optimizer_ngvi.errors import (
    NGVIError as NGVIError,
    NonFiniteGradientError as NonFiniteGradientError,
    OptionError as OptionError,
    SequenceError as SequenceError,
    StateError as StateError,
)
from balenas_optimizer_ngvi.schedules import (
    CosineSchedule as CosineSchedule,
    LinearSchedule as LinearSchedule,
    Schedule as Schedule,
)

if TYPE_CHECKING:
    from balenas_optimizer_ngvi._native import (
        NativeStatus as NativeStatus,
        native_status as native_status,
    )
    from balenas_optimizer_ngvi._optimizer import NGVI as NGVI
    from balenas_optimizer_ngvi._per_sample import per_sample_moments as per_sample_moments
    from balenas_optimizer_ngvi._posterior import Posterior as Posterior

plugin = Plugin(
    kind="optimizer",
    summary="natural-gradient variational inference of a Gaussian (BaLeNAS)",
    api_version=1,
    implementation="balenas_optimizer_ngvi._search:NGVIOptimizer",
    options=NGVIOptions,
    needs={"distribution": ("gaussian",), "space": ("supernet",)},
    defaults={"distribution": "gaussian"},
    status="balenas_optimizer_ngvi._search:status",
)

categorical = Plugin(
    kind="optimizer",
    summary="natural-gradient variational inference of categorical choices (BayesBiNN)",
    api_version=1,
    implementation="balenas_optimizer_ngvi._categorical:CategoricalNGVIOptimizer",
    options=CategoricalOptions,
    needs={"distribution": ("gumbel",), "space": ("supernet",)},
    defaults={"distribution": "gumbel_softmax"},
)

_LAZY = {
    "NGVI": "_optimizer",
    "Posterior": "_posterior",
    "NativeStatus": "_native",
    "native_status": "_native",
    "per_sample_moments": "_per_sample",
}

__all__ = [
    "NGVI",
    "CategoricalOptions",
    "CosineSchedule",
    "LinearSchedule",
    "NGVIError",
    "NGVIOptions",
    "NativeStatus",
    "NonFiniteGradientError",
    "OptionError",
    "Posterior",
    "Schedule",
    "SequenceError",
    "StateError",
    "categorical",
    "native_status",
    "per_sample_moments",
    "plugin",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
