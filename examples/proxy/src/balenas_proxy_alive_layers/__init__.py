"""The proxy ``alive_layers`` for balenas. Imports no torch: the implementation does."""

from balenas_core import Plugin, PluginOptions
from pydantic import Field


class Options(PluginOptions):
    """Options of the plugin; their descriptions are shown by ``balenas plugins info``."""

    convolutions: float = Field(
        default=2.0, gt=0, description="How often a parameter of a convolution counts."
    )


plugin = Plugin(
    kind="proxy",
    summary="number of parameters, convolutions counted more",
    api_version=1,
    implementation="balenas_proxy_alive_layers._implementation:AliveLayers",
    options=Options,
)
