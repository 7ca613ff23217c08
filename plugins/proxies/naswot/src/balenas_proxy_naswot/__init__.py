"""NASWOT: how differently a network's ReLUs respond to different images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from balenas_core.plugins.options import PluginOptions
from balenas_core.plugins.plugin import Plugin

if TYPE_CHECKING:
    from balenas_proxy_naswot._naswot import Naswot as Naswot, naswot as naswot

__all__ = ["Naswot", "NaswotOptions", "naswot", "plugin"]


class NaswotOptions(PluginOptions):
    """Options of the ``naswot`` proxy."""

    layers: Literal["relu", "name"] = Field(
        "relu",
        description="nn.ReLU modules, or, as in the authors' code, every module whose type "
        "name contains 'ReLU', a ReluConvNorm being one (which counts such a block twice)",
    )


plugin = Plugin(
    kind="proxy",
    summary="NASWOT: log-determinant of the ReLU activation codes' kernel",
    api_version=1,
    implementation="balenas_proxy_naswot._naswot:Naswot",
    options=NaswotOptions,
)


def __getattr__(name: str) -> Any:
    if name in ("Naswot", "naswot"):
        from balenas_proxy_naswot import _naswot

        return getattr(_naswot, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
