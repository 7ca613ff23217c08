"""Stages of inverted residuals, built of timm's layers."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from timm.layers import ConvNormAct, get_act_layer
from timm.models._efficientnet_blocks import InvertedResidual, SqueezeExcite
from timm.models._efficientnet_builder import efficientnet_init_weights
from torch import nn

from balenas_core.errors import UsageError
from balenas_core.interfaces.space import Task
from balenas_core.macro import SKIP, LayerChoices, MacroSpace
from balenas_core.nn import ClassifierHead
from balenas_space_timm_stages._options import TimmStagesOptions

_Module = TypeVar("_Module", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class _Block:
    """One candidate: its depthwise kernel, its expansion, and squeeze-and-excitation."""

    kernel: int
    expansion: int
    has_se: bool

    def __str__(self) -> str:
        return f"k{self.kernel}e{self.expansion}{'+se' if self.has_se else ''}"


class TimmStagesSpace(MacroSpace):
    """A backbone like MobileNetV2 or V3, every layer one of several inverted residuals.

    A block is called by its kernel and expansion, and ``+se`` with squeeze-and-excitation. The
    first layer of a stage changes channels and stride; the others may be left out.

    Args:
        options: Size and candidates.

    Raises:
        UsageError: timm has no such activation.

    References:
        Sandler et al. 2018, "MobileNetV2", CVPR; Howard et al. 2019, "Searching for
        MobileNetV3", ICCV. Blocks and initial weights are timm's.

    Example:
        >>> space = TimmStagesSpace(TimmStagesOptions(layers=2))
        >>> str(space.canonical(space.parse("k3e6|skip/k5e3+se|k3e3/k7e3|skip")))
        'k3e6|skip/k5e3+se|k3e3/k7e3|skip'
    """

    def __init__(self, options: TimmStagesOptions) -> None:
        self.options = options
        se = {"choose": (False, True), "always": (True,), "never": (False,)}
        variants = itertools.product(
            options.kernels, options.expansions, se[options.squeeze_excite]
        )
        self._blocks = {str(block): block for block in itertools.starmap(_Block, variants)}
        try:
            self._activation = get_act_layer(options.activation)
        except KeyError:
            raise UsageError(
                f"timm has no activation {options.activation!r}; try relu, hard_swish or silu."
            ) from None

    @property
    def stages(self) -> tuple[tuple[LayerChoices, ...], ...]:
        """The layers of every stage."""
        first = LayerChoices("first", tuple(self._blocks))
        other = LayerChoices("others", (*self._blocks, SKIP))
        return ((first, *[other] * (self.options.layers - 1)),) * len(self.options.widths)

    def stem(self, task: Task) -> nn.Module:
        """Build the 3x3 convolution."""
        stem = ConvNormAct(
            task.input_shape[0],
            self.options.stem_channels,
            3,
            self.options.stem_stride,
            act_layer=self._activation,
        )
        return _initialized(stem)

    def block(self, stage: int, layer: int, choice: str) -> nn.Module:
        """Build an inverted residual."""
        block, widths = self._blocks[choice], (self.options.stem_channels, *self.options.widths)
        residual = InvertedResidual(
            widths[stage] if layer == 0 else widths[stage + 1],
            widths[stage + 1],
            block.kernel,
            self.options.strides[stage] if layer == 0 else 1,
            exp_ratio=block.expansion,
            act_layer=self._activation,
            se_layer=partial(SqueezeExcite, rd_ratio=0.25) if block.has_se else None,  # type: ignore[arg-type]
        )
        return _initialized(residual)

    def head(self, task: Task) -> ClassifierHead:
        """Build the 1x1 convolution, global average and classifier."""
        channels = self.options.head_channels
        head = ClassifierHead(
            channels,
            task.num_classes,
            layers=ConvNormAct(self.options.widths[-1], channels, 1, act_layer=self._activation),
            dropout=self.options.dropout,
        )
        return _initialized(head)


def _initialized(module: _Module) -> _Module:
    efficientnet_init_weights(module)
    return module
