"""The optimizer ``mirror_descent`` for balenas. Imports no torch: the implementation does."""

from balenas_core import Plugin, PluginOptions
from pydantic import Field


class Options(PluginOptions):
    """Options of the plugin; their descriptions are shown by ``balenas plugins info``."""

    lr: float = Field(default=0.1, gt=0, description="Learning rate.")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="Momentum.")


plugin = Plugin(
    kind="optimizer",
    summary="gradient descent with momentum on a draw of the distribution",
    api_version=1,
    implementation="balenas_optimizer_mirror_descent._implementation:MirrorDescent",
    options=Options,
    needs={"space": ("supernet",)},
    defaults={"distribution": "point"},
)
