"""The space ``transformer`` for balenas. Imports no torch: the implementation does."""

from typing import Annotated, Self

from balenas_core import Plugin, PluginOptions
from pydantic import Field, model_validator

_Size = Annotated[int, Field(ge=1, le=65_536)]


class Options(PluginOptions):
    """What may be chosen, each list from small to large. The defaults are those of a test."""

    widths: tuple[_Size, ...] = Field(default=(16, 24, 32), description="Channels of a token.")
    depths: tuple[_Size, ...] = Field(default=(1, 2, 3), description="Numbers of blocks.")
    heads: tuple[_Size, ...] = Field(default=(1, 2, 4), description="Heads of a block.")
    mlp_ratios: tuple[_Size, ...] = Field(
        default=(1, 2), description="Hidden channels of a block's MLP per channel of a token."
    )
    head_width: _Size = Field(default=8, description="Channels of a head, the same for all.")
    patch: _Size = Field(default=4, description="Height and width of a patch in pixels.")

    @model_validator(mode="after")
    def _rises(self) -> Self:
        for name in ("widths", "depths", "heads", "mlp_ratios"):
            values = getattr(self, name)
            if not values or list(values) != sorted(set(values)):
                raise ValueError(f"{name} must rise, without repeats (got {values})")
        return self


plugin = Plugin(
    kind="space",
    summary="vision transformers: width, depth, and heads and MLP ratio of every block",
    api_version=1,
    implementation="balenas_space_transformer._space:TransformerSpace",
    options=Options,
    provides=("supernet",),
)
