"""Layers of cell-based networks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from balenas_core.nn._functions import ConvArguments, max_pool, separable
from balenas_core.nn._norm import BatchNormMode, scaled_norm
from balenas_core.nn._sharing import NodeSum, SharingOperation, Source, to_phases
from balenas_core.nn._synced_norm import is_synced


class ReluConvNorm(SharingOperation):
    """ReLU, convolution without bias, batch normalisation; size ceil(size / stride).

    Args:
        channels: Channels in and out.
        kernel: Odd kernel size.
        stride: Stride of the convolution.
        norm: Kind of batch normalisation.
    """

    def __init__(
        self, channels: tuple[int, int], kernel: int, *, stride: int = 1, norm: BatchNormMode
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(*channels, kernel, stride, kernel // 2, bias=False)
        self.norm = norm.make(channels[1])
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map `batch x in x height x width`-dim features to the output's."""
        out: Tensor = self.norm(self.conv(self.relu(x)))
        return out

    def accumulate(self, source: Source, weight: Tensor, value: float, total: NodeSum) -> None:
        """Share the ReLU, and scale in the batch normalisation."""
        total.add(scaled_norm(self.norm, self.conv(source.relu()), weight))


class FactorizedReduce(SharingOperation):
    """Halve height and width by two 1x1 convolutions of stride 2, shifted by one pixel.

    Args:
        channels: Channels in and out.
        norm: Kind of batch normalisation.

    References:
        Liu et al. 2019, "DARTS", ICLR (released code). Deviations: images of odd size are
        padded by a zero row and column, and an odd number of output channels is allowed; both
        fail in the released code.
    """

    def __init__(self, channels: tuple[int, int], *, norm: BatchNormMode) -> None:
        super().__init__()
        channels_in, channels_out = channels
        shifted = channels_out // 2
        self.conv = nn.Conv2d(channels_in, channels_out - shifted, 1, stride=2, bias=False)
        # A single output channel needs no second convolution, and torch has none of 0 channels.
        self.conv_shifted = (
            nn.Conv2d(channels_in, shifted, 1, stride=2, bias=False) if shifted else None
        )
        self.norm = norm.make(channels_out)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map `batch x in x h x w` to `batch x out x ceil(h / 2) x ceil(w / 2)`-dim features."""
        out: Tensor = self.norm(self._reduce(self.relu(x)))
        return out

    def accumulate(self, source: Source, weight: Tensor, value: float, total: NodeSum) -> None:
        """Share the ReLU, and scale in the batch normalisation."""
        total.add(scaled_norm(self.norm, self._reduce(source.relu()), weight))

    def _reduce(self, x: Tensor) -> Tensor:
        halves = [self.conv(x)]
        if self.conv_shifted is not None:
            padded = functional.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
            halves.append(self.conv_shifted(padded[:, :, 1:, 1:]))
        return torch.cat(halves, dim=1)


class Pool(SharingOperation):
    """3x3 pooling that leaves padding out of the average, and perhaps batch normalisation.

    Args:
        kind: ``"max"`` or ``"avg"``.
        stride: Stride; the size is ceil(size / stride).
        norm: Batch normalisation after it, and its channels; None for none.
    """

    def __init__(
        self, kind: str, *, stride: int = 1, norm: tuple[BatchNormMode, int] | None = None
    ) -> None:
        super().__init__()
        self.pool: nn.Module
        if kind == "max":
            self.pool = nn.MaxPool2d(3, stride, padding=1)
        else:
            self.pool = nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)
        self.norm: nn.BatchNorm2d | None = None
        if norm is not None:
            self.norm = norm[0].make(norm[1])
        self._key = (kind, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map `batch x channels x height x width`-dim features to the output's."""
        pooled: Tensor = self.pool(x)
        return pooled if self.norm is None else self.norm(pooled)

    def accumulate(self, source: Source, weight: Tensor, value: float, total: NodeSum) -> None:
        """Share the pooling and, where all edges have the same, the batch normalisation."""
        pooled = source.shared(("pool", self._key), lambda: self._pooled(source.features))
        if self.norm is None:
            total.add_scaled(pooled, weight, value)
        elif (
            self.norm.affine
            or is_synced(self.norm)
            or not (self.norm.training or self.norm.running_mean is None)
        ):
            total.add(scaled_norm(self.norm, pooled, weight))
        else:
            total.add_scaled(self._normalized(source, pooled, self.norm), weight, value)

    def _pooled(self, x: Tensor) -> Tensor:
        kind, stride = self._key
        pooled: Tensor = max_pool(x, stride) if kind == "max" else self.pool(x)
        return pooled

    def _normalized(self, source: Source, pooled: Tensor, norm: nn.BatchNorm2d) -> Tensor:
        """Normalise by batch statistics, once for all edges, which each track them."""
        key = ("pool-norm", self._key)
        mean = source.shared((key, "mean"), lambda: pooled.new_zeros(norm.num_features))
        variance = source.shared((key, "variance"), lambda: pooled.new_ones(norm.num_features))
        normalized = source.shared(
            key,
            # Momentum 1 leaves the statistics of this batch in the two tensors.
            lambda: functional.batch_norm(
                pooled, mean, variance, training=True, momentum=1.0, eps=norm.eps
            ),
        )
        if norm.training and norm.running_mean is not None:
            assert norm.running_var is not None
            assert norm.num_batches_tracked is not None
            norm.num_batches_tracked.add_(1)
            norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), norm.momentum or 0.0)
            norm.running_var.lerp_(variance.to(norm.running_var.dtype), norm.momentum or 0.0)
        return normalized


class SeparableConvNorm(SharingOperation):
    """ReLU, depthwise and 1x1 convolution, batch normalisation; perhaps the same again.

    Args:
        channels: Channels in and out.
        kernel: Odd size of the depthwise kernel.
        stride: Stride of the first depthwise convolution.
        dilation: Dilation of the depthwise convolutions, 1 or 2.
        repeats: How often the four layers follow each other.
        norm: Kind of batch normalisation.
    """

    def __init__(
        self,
        channels: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        repeats: int = 1,
        norm: BatchNormMode,
    ) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.depthwise = nn.ModuleList(
            nn.Conv2d(
                channels,
                channels,
                kernel,
                stride if index == 0 else 1,
                dilation * (kernel // 2),
                dilation,
                groups=channels,
                bias=False,
            )
            for index in range(repeats)
        )
        self.pointwise = nn.ModuleList(
            nn.Conv2d(channels, channels, 1, bias=False) for _ in range(repeats)
        )
        self.norms = nn.ModuleList(norm.make(channels) for _ in range(repeats))
        self._stride = stride
        self._is_dilated_once = dilation == 2 and repeats == 1

    def forward(self, x: Tensor) -> Tensor:
        """Map `batch x channels x h x w` to the same shape divided by the stride, rounded up."""
        for depthwise, pointwise, norm in self._layers():
            x = norm(pointwise(depthwise(self.relu(x))))
        return x

    def accumulate(self, source: Source, weight: Tensor, value: float, total: NodeSum) -> None:
        """Share the ReLU, and scale in the last batch normalisation.

        On a CPU a convolution of dilation 2 is computed as one of dilation 1 on every second
        pixel, which is several times faster there.
        """
        x = source.features
        if self._is_dilated_once and x.device.type == "cpu":
            if self._stride == 2:
                thinned = source.shared("relu-even", lambda: torch.relu(x[:, :, ::2, ::2]))
                total.add(self._undilated(thinned, weight))
                return
            if x.shape[2] % 2 == 0 and x.shape[3] % 2 == 0:
                phases = source.shared("relu-phases", lambda: to_phases(source.relu()))
                total.add_phases(self._undilated(phases, weight))
                return
        activated = source.relu()
        *others, last = self._layers()
        for depthwise, pointwise, norm in others:
            activated = torch.relu_(norm(_separable(activated, depthwise, pointwise)))
        depthwise, pointwise, norm = last
        total.add(scaled_norm(norm, _separable(activated, depthwise, pointwise), weight))

    def _undilated(self, x: Tensor, weight: Tensor) -> Tensor:
        ((depthwise, pointwise, norm),) = self._layers()
        channels, _, kernel, _ = depthwise.weight.shape
        undilated = ConvArguments(padding=(kernel // 2, kernel // 2), groups=channels)
        convolved = separable(x, (depthwise.weight, pointwise.weight), undilated)
        return scaled_norm(norm, convolved, weight)

    def _layers(self) -> list[tuple[nn.Conv2d, nn.Conv2d, nn.BatchNorm2d]]:
        layers: Any = zip(self.depthwise, self.pointwise, self.norms, strict=True)
        return list(layers)


def _separable(x: Tensor, depthwise: nn.Conv2d, pointwise: nn.Conv2d) -> Tensor:
    return separable(x, (depthwise.weight, pointwise.weight), ConvArguments.of(depthwise))


def global_average(x: Tensor) -> Tensor:
    """Average `batch x channels x height x width`-dim features over the image."""
    return x.mean(dim=(2, 3))


def drop_path(x: Tensor, probability: float | Tensor) -> Tensor:
    """Set whole samples of ``x`` to zero and scale the others to keep the expectation.

    Draws from torch's global generator, like ``torch.nn.Dropout``.

    Args:
        x: `batch x ...`-dim tensor.
        probability: Chance of each sample to be dropped, in [0, 1); a 0-dim tensor where it
            changes under a compiled network, which would be compiled again for each number.
    """
    keep = 1.0 - probability
    mask = x.new_empty((x.shape[0], *(1,) * (x.dim() - 1)))
    if isinstance(keep, Tensor):
        mask = (torch.rand_like(mask) < keep).to(x.dtype)
    else:
        mask.bernoulli_(keep)
    return x * (mask / keep)
