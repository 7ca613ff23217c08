"""Options of the baseline optimizers."""

from __future__ import annotations

from pydantic import Field

from balenas_core import PluginOptions


class AdamOptions(PluginOptions):
    """Settings of Adam; the defaults are those of DARTS."""

    lr: float = Field(default=3e-4, gt=0, description="Step size.")
    beta1: float = Field(default=0.5, ge=0, lt=1, description="Decay of the mean gradient.")
    beta2: float = Field(default=0.999, ge=0, lt=1, description="Decay of the squared gradient.")
    weight_decay: float = Field(default=1e-3, ge=0, description="L2 penalty of the parameters.")
