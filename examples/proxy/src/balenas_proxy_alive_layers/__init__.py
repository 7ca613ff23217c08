"""The proxy ``alive_layers`` for balenas. Imports no torch."""

from balenas_core import Plugin, PluginOptions
from pydantic import Field


class Options(PluginOptions):
    """Options of the plugin."""

    smallest: float = Field(
        default=0.0, ge=0, description="A layer counts if its gradient's norm is above this."
    )


plugin = Plugin(
    kind="proxy",
    summary="number of layers on which the logits depend",
    api_version=1,
    implementation="balenas_proxy_alive_layers._implementation:AliveLayers",
    options=Options,
)
