"""SynFlow: how much signal flows through a network's absolute weights."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from balenas_core.plugins.options import PluginOptions
from balenas_core.plugins.plugin import Plugin

if TYPE_CHECKING:
    from balenas_proxy_synflow._closed_form import (
        SynflowClosedForm as SynflowClosedForm,
        synflow_closed_form as synflow_closed_form,
    )
    from balenas_proxy_synflow._synflow import Synflow as Synflow, synflow as synflow

__all__ = [
    "ClosedFormOptions",
    "Synflow",
    "SynflowClosedForm",
    "SynflowOptions",
    "closed_form",
    "plugin",
    "synflow",
    "synflow_closed_form",
]

_MODULE_OF = {
    "Synflow": "_synflow",
    "synflow": "_synflow",
    "SynflowClosedForm": "_closed_form",
    "synflow_closed_form": "_closed_form",
}


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


class ClosedFormOptions(PluginOptions):
    """Options of the ``synflow_closed_form`` proxy."""

    weights: Literal["torch", "kaiming", "given"] = Field(
        "torch",
        description="how weights are drawn: as torch does by default, Kaiming-normal, or with "
        "the mean absolute value that the network's have",
    )
    log: bool = Field(
        False, description="give the natural logarithm; a network without flow gets -inf"
    )


plugin = Plugin(
    kind="proxy",
    summary="SynFlow: signal through absolute weights (no data)",
    api_version=1,
    implementation="balenas_proxy_synflow._synflow:Synflow",
    options=SynflowOptions,
)


closed_form = Plugin(
    kind="proxy",
    summary="SynFlow's expectation over random weights, in closed form (no data, no weights)",
    api_version=1,
    implementation="balenas_proxy_synflow._closed_form:SynflowClosedForm",
    options=ClosedFormOptions,
)


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        module = importlib.import_module(f"{__name__}.{_MODULE_OF[name]}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
