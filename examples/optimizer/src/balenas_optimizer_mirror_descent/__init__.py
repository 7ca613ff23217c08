"""The optimizer ``mirror_descent`` for balenas. Imports no torch."""

from balenas_core import Plugin, PluginOptions
from pydantic import Field


class Options(PluginOptions):
    """Options of the plugin."""

    lr: float = Field(default=0.5, gt=0, description="Step in the logits, times the gradient.")


plugin = Plugin(
    kind="optimizer",
    summary="exponentiated gradient: mirror descent of the weights on the simplex",
    api_version=1,
    implementation="balenas_optimizer_mirror_descent._implementation:MirrorDescent",
    options=Options,
    needs={"space": ("supernet",), "distribution": ("logits",)},
    defaults={"distribution": "point"},
)
