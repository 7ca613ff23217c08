"""The dataset ``stripes`` for balenas. Imports no torch: the implementation does."""

from balenas_core import Plugin, PluginOptions
from pydantic import Field


class Options(PluginOptions):
    """Options of the plugin; their descriptions are shown by ``balenas plugins info``."""

    images: int = Field(default=512, ge=8, description="Training images.")
    size: int = Field(default=8, ge=4, le=1024, description="Height and width in pixels.")


plugin = Plugin(
    kind="dataset",
    summary="stripes that run across or down",
    api_version=1,
    implementation="balenas_dataset_stripes._implementation:load_stripes",
    options=Options,
)
