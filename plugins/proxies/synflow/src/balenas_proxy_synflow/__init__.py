"""SynFlow: how much signal flows through a network's absolute weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from balenas_core.options import PluginOptions
from balenas_core.plugin import Plugin

if TYPE_CHECKING:
    from balenas_proxy_synflow._synflow import Synflow as Synflow, synflow as synflow

__all__ = ["Synflow", "SynflowOptions", "plugin", "synflow"]


class SynflowOptions(PluginOptions):
    """Options of the ``synflow`` proxy."""

    bn: Literal["bypass", "keep"] = Field(
        "bypass",
        description="batch normalisation: passed by, as in the published scores, or kept in "
        "training mode (synflow_bn; hardly ranks at all)",
    )
    log: bool = Field(
        False, description="give the natural logarithm; a network without flow gets -inf"
    )
    dtype: Literal["float64", "float32"] = Field(
        "float64", description="arithmetic; float32 rounds, and by autograd overflows when deep"
    )
    method: Literal["auto", "autograd"] = Field(
        "auto",
        description="auto carries derivatives forward where the network allows it, in half the "
        "time; autograd goes by the definition",
    )


plugin = Plugin(
    kind="proxy",
    summary="SynFlow: signal through absolute weights (no data)",
    api_version=1,
    implementation="balenas_proxy_synflow._synflow:Synflow",
    options=SynflowOptions,
)


def __getattr__(name: str) -> Any:
    if name in ("Synflow", "synflow"):
        from balenas_proxy_synflow import _synflow

        return getattr(_synflow, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
