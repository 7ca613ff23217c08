"""A MobileNet-like search space of timm blocks. Imports no torch until it is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from balenas_core.plugins.plugin import Plugin
from balenas_space_timm_stages._options import TimmStagesOptions as TimmStagesOptions

if TYPE_CHECKING:
    from balenas_space_timm_stages._space import TimmStagesSpace as TimmStagesSpace

plugin = Plugin(
    kind="space",
    summary="stages of timm's inverted residuals: kernel, expansion, squeeze-excite and depth",
    api_version=1,
    implementation="balenas_space_timm_stages._space:TimmStagesSpace",
    options=TimmStagesOptions,
    provides=("supernet",),
    recommends={
        "selector": "az_nas",
        "proxy": "az_expressivity+az_progressivity+az_trainability+flops",
    },
)

__all__ = ["TimmStagesOptions", "TimmStagesSpace", "plugin"]


def __getattr__(name: str) -> object:
    if name == "TimmStagesSpace":
        from balenas_space_timm_stages._space import TimmStagesSpace

        return TimmStagesSpace
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
