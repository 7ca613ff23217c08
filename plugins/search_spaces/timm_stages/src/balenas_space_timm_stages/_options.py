"""Options of the space. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from balenas_core.plugins.options import MOST_CELLS, MOST_CHANNELS, PluginOptions

_MOST_STAGES = 32
_Channels = Annotated[int, Field(ge=1, le=MOST_CHANNELS)]
_Small = Annotated[int, Field(ge=1, le=255)]


class TimmStagesOptions(PluginOptions):
    """Size of the backbone, and the candidates of its layers."""

    widths: tuple[_Channels, ...] = Field(
        default=(8, 16, 24),
        min_length=1,
        max_length=_MOST_STAGES,
        description="Channels of each stage.",
    )
    strides: tuple[_Small, ...] = Field(
        default=(1, 2, 2), description="Stride of the first layer of each stage."
    )
    layers: int = Field(
        default=3,
        ge=1,
        le=MOST_CELLS,
        description="Layers of each stage; all but the first may be left out.",
    )
    kernels: tuple[_Small, ...] = Field(
        default=(3, 5, 7), min_length=1, description="Candidate kernel sizes, odd."
    )
    expansions: tuple[_Small, ...] = Field(
        default=(3, 6), min_length=1, description="Candidate ratios of inner to outer channels."
    )
    squeeze_excite: Literal["choose", "always", "never"] = Field(
        default="choose", description="Whether blocks have squeeze-and-excitation."
    )
    activation: str = Field(
        default="relu", description="Activation, by timm's name: relu, hard_swish, silu, gelu, ..."
    )
    stem_channels: int = Field(
        default=8, ge=1, le=MOST_CHANNELS, description="Channels of the 3x3 stem."
    )
    stem_stride: int = Field(default=1, ge=1, le=255, description="Stride of the stem.")
    head_channels: int = Field(
        default=64,
        ge=1,
        le=MOST_CHANNELS,
        description="Channels of the 1x1 convolution before the classifier.",
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout before the classifier.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(self.strides) != len(self.widths):
            raise ValueError(
                f"strides ({len(self.strides)}) and widths ({len(self.widths)}) must be as many: "
                "one for each stage"
            )
        even = [kernel for kernel in self.kernels if kernel % 2 == 0]
        if even:
            raise ValueError(f"kernels must be odd (got {even[0]})")
        for name in ("kernels", "expansions"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                raise ValueError(f"{name} must be different (got {list(values)})")
        return self
