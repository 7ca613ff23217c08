"""Tensors that carry a derivative and a power of two through a network without a graph.

Between absolute weights and a non-negative image, a network of convolutions, linear layers,
pooling, sums, products, concatenations and activations that do not fall where their argument is
positive only has values and slopes that are not negative. The chain rule then gives SynFlow as
the derivative in a common factor of the weights: it goes through the network beside the value,
as two rows of one batch, and any power of two can be taken out of them without an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Law = Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor | None]]
"""(weight, bias) -> mean of their absolute values, scalars."""

_ROOM = 0.4  # of the type's range of exponents; the rest is for the sum of one layer
_FAR = 60.0
"""Beyond it activations are linear or constant: their slope is 1 or 0 to the last bit."""


class NotMonotoneError(Exception):
    """The network does something that is not known to keep values and slopes from falling."""


class Scaled(Tensor):
    """Value and derivative, `2 x ...`-dim, times ``2 ** exponent``.

    With a ``law``, all channels are replaced by their mean: `2 x 1 x ...`-dim, or the mean of
    all features of a flat tensor in parts of any number. ``channels`` is then how many there
    are, and a layer's weights count as the law's mean of their absolute values.

    Operations that are not known to have values and slopes that are never negative raise
    ``NotMonotoneError``.
    """

    exponent: int
    channels: int
    law: Law | None

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _HANDLERS:
            return _HANDLERS[func](*args, **kwargs)
        if func in _METADATA:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **kwargs)
        if func in _KEEPS_SCALE and isinstance(args[0], Scaled):
            rest = (*args[1:], *kwargs.values())
            if not any(isinstance(x, Tensor) for x in rest):
                return _like(args[0], func(plain(args[0]), *args[1:], **kwargs))
        raise NotMonotoneError(getattr(func, "__name__", repr(func)))


def scaled(
    values: Tensor, *, exponent: int = 0, channels: int = 0, law: Law | None = None
) -> Scaled:
    """Attach an exponent to values, and a law to means over channels."""
    result = values.as_subclass(Scaled)
    result.exponent, result.channels, result.law = exponent, channels, law
    return result


def plain(x: Tensor) -> Tensor:
    """Return the values without their exponent."""
    return x.as_subclass(Tensor)


def _like(
    x: Scaled, values: Tensor, *, exponent: int | None = None, channels: int | None = None
) -> Scaled:
    if values.dim() == 0 or values.shape[0] != 2:
        raise NotMonotoneError("a change of the batch")
    return scaled(
        values,
        exponent=x.exponent if exponent is None else exponent,
        channels=x.channels if channels is None else channels,
        law=x.law,
    )


def _shifted(values: Tensor, by: int) -> Tensor:
    """Multiply by ``2 ** by``, without an error; beyond float64's range by its ends."""
    return values * 2.0 ** max(min(by, 1000), -1074)


def _rescaled(x: Scaled, values: Tensor, *, channels: int | None = None) -> Scaled:
    """Move a power of two into the exponent if the values are far from 1."""
    largest = float(values.amax()) if values.numel() else 0.0
    limit = torch.finfo(values.dtype).max ** _ROOM
    if largest > 0 and math.isfinite(largest) and not 1 / limit < largest < limit:
        shift = math.frexp(largest)[1]
        exponent = x.exponent + shift
        return _like(x, _shifted(values, -shift), exponent=exponent, channels=channels)
    return _like(x, values, channels=channels)


def _check_layer(x: Tensor, *parameters: Tensor | None) -> None:
    for parameter in parameters:
        if parameter is not None and not isinstance(parameter, nn.Parameter):
            raise NotMonotoneError("a weight that is computed")
    if not isinstance(x, Scaled):
        raise NotMonotoneError("a layer applied to a constant")


def _layer_output(
    x: Scaled, values: Tensor, bias: Tensor | None, *, channels: int | None = None
) -> Scaled:
    """Add what a layer adds: to the derivative the product itself, to the value the bias."""
    values[1] += values[0]
    if bias is not None:
        values[0] += _shifted(bias, -x.exponent)
    return _rescaled(x, values, channels=channels)


def _conv(convolve: Callable[..., Tensor]) -> Callable[..., Scaled]:
    def conv(
        x: Scaled,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Scaled:
        _check_layer(x, weight, bias)
        if x.law is None:
            values = convolve(plain(x), weight, None, stride, padding, dilation, groups)
            shaped = None if bias is None else bias.view(-1, *(1,) * (weight.dim() - 2))
            return _layer_output(x, values, shaped)
        if weight.shape[1] * groups != x.channels:
            raise NotMonotoneError("channels that were lost from sight")
        mean, mean_bias = x.law(weight, bias)
        box = (mean * weight.shape[1]).to(x.dtype).expand(1, 1, *weight.shape[2:])
        values = convolve(plain(x), box, None, stride, padding, dilation)
        return _layer_output(x, values, mean_bias, channels=weight.shape[0])

    return conv


def _linear(x: Scaled, weight: Tensor, bias: Tensor | None = None) -> Scaled:
    _check_layer(x, weight, bias)
    if x.law is None:
        return _layer_output(x, F.linear(plain(x), weight), bias)
    if weight.shape[1] != x.channels or plain(x).dim() != 2:
        raise NotMonotoneError("features that were lost from sight")
    mean, mean_bias = x.law(weight, bias)
    values = plain(x).mean(1, keepdim=True) * (mean * weight.shape[1])
    return _layer_output(x, values, mean_bias, channels=weight.shape[0])


def _max_pool(x: Scaled, *args: Any, **kwargs: Any) -> Scaled:
    """Take the derivative where the value is largest, not where it is itself."""
    kwargs = {**kwargs, "return_indices": True}
    values, indices = F.max_pool2d(plain(x)[:1], *args, **kwargs)
    derivative = plain(x)[1:].flatten(2).gather(2, indices.flatten(2)).view_as(values)
    return _like(x, torch.cat([values, derivative]))


def _align(tensors: Sequence[Any]) -> tuple[list[Scaled], list[Tensor], int]:
    given = [t for t in tensors if isinstance(t, Scaled)]
    if len(given) < len(tensors):
        raise NotMonotoneError("a constant added to the signal")
    exponent = max(t.exponent for t in given)
    values = [
        plain(t) if t.exponent == exponent else _shifted(plain(t), t.exponent - exponent)
        for t in given
    ]
    return given, values, exponent


def _add(x: Any, other: Any, *, alpha: float = 1) -> Scaled:
    for one, two in ((x, other), (other, x)):
        if isinstance(one, int | float) and one == 0 and isinstance(two, Scaled):
            return two  # where Python's sum() begins
    given, (one, two), exponent = _align([x, other])
    if alpha != 1 or given[0].channels != given[1].channels:
        raise NotMonotoneError("a sum of other than equals")
    return _like(given[0], one + two, exponent=exponent)


def _add_in_place(x: Scaled, other: Any, *, alpha: float = 1) -> Scaled:
    return _in_place(x, _add(x, other, alpha=alpha))


def _in_place(x: Scaled, result: Scaled) -> Scaled:
    if result.exponent != x.exponent:
        raise NotMonotoneError("a change in place to numbers of very different size")
    plain(x).copy_(plain(result))
    return x


def _cat(tensors: Sequence[Tensor], dim: int = 0) -> Scaled:
    given, values, exponent = _align(tensors)
    if dim == 0:
        raise NotMonotoneError("images put together along the batch")
    if given[0].law is None:
        return _like(given[0], torch.cat(values, dim), exponent=exponent)
    if dim != 1:
        raise NotMonotoneError("features put together other than along the channels")
    channels = sum(t.channels for t in given)
    mean = sum(v * (t.channels / channels) for t, v in zip(given, values, strict=True))
    assert isinstance(mean, Tensor)
    return _like(given[0], mean, exponent=exponent, channels=channels)


def _multiply(x: Any, factor: Any) -> Scaled:
    if not isinstance(x, Scaled):
        x, factor = factor, x
    if isinstance(factor, Scaled):
        return _product(x, factor)
    if not isinstance(factor, int | float) or factor < 0:
        raise NotMonotoneError("a product with a constant, or with a negative number")
    return _rescaled(x, plain(x) * factor)


def _product(x: Scaled, other: Scaled) -> Scaled:
    """Multiply two signals, such as features and their gate."""
    channels = {x.channels, other.channels}
    if plain(x).dim() != plain(other).dim() or len(channels - {1}) > 1:
        raise NotMonotoneError("a product of other than equals")
    one, one_slope = plain(x).unbind()
    two, two_slope = plain(other).unbind()
    values = torch.stack([one * two, one * two_slope + one_slope * two])
    exponent = x.exponent + other.exponent
    return _rescaled(_like(x, values, exponent=exponent, channels=max(channels)), values)


def _activation(function: Callable[..., Tensor]) -> Callable[..., Scaled]:
    """Follow a function that is neither negative nor falls where its argument is not negative."""

    def activation(x: Scaled, *args: Any, inplace: bool = False, **kwargs: Any) -> Scaled:
        exponent = max(x.exponent, 0)
        value, slope = _shifted(plain(x), x.exponent - exponent).unbind()
        near = _shifted(value, exponent).clamp_max(_FAR)
        with torch.enable_grad():
            point = near.requires_grad_()
            at = function(point, *args, **kwargs)
            (factor,) = torch.autograd.grad(at.sum(), point)
        slope, beyond = factor * slope, factor * (value - _shifted(near.detach(), -exponent))
        if not beyond.any():  # the result is small, however large the argument
            slope, exponent = _shifted(slope, exponent), 0
        values = torch.stack([_shifted(at.detach(), -exponent) + beyond, slope])
        result = _like(x, values, exponent=exponent)
        return _in_place(x, result) if inplace else result

    return activation


def _divide(x: Any, divisor: Any) -> Scaled:
    if not isinstance(x, Scaled) or not isinstance(divisor, int | float) or divisor <= 0:
        raise NotMonotoneError("a quotient of two signals, or with a negative number")
    return _rescaled(x, plain(x) / divisor)


def _mean(x: Scaled, dim: Any = None, keepdim: bool = False) -> Scaled:
    dims = {d % plain(x).dim() for d in ((dim,) if isinstance(dim, int) else dim or (0,))}
    if 0 in dims or (x.law is not None and 1 in dims):
        raise NotMonotoneError("a mean over the batch or the channels")
    return _like(x, plain(x).mean(dim, keepdim))


def _pad(x: Scaled, pad: Any, mode: str = "constant", value: float | None = None) -> Scaled:
    if (mode == "constant" and value) or len(pad) > 2 * (plain(x).dim() - 2):
        raise NotMonotoneError("padding of channels, or with a number other than 0")
    return _like(x, F.pad(plain(x), pad, mode, value))


def _index(x: Scaled, index: Any) -> Scaled:
    if not isinstance(index, tuple) or index[0] != slice(None):
        raise NotMonotoneError("a part of the batch")
    if x.law is None:
        return _like(x, plain(x)[index])
    if not isinstance(index[1], slice):
        raise NotMonotoneError("one of the channels")
    values = plain(x)[(index[0], slice(None), *index[2:])]
    return _like(x, values, channels=len(range(x.channels)[index[1]]))


def _reshape(change: Callable[..., Tensor]) -> Callable[..., Scaled]:
    def reshape(x: Scaled, *args: Any, **kwargs: Any) -> Scaled:
        if x.law is None:
            return _like(x, change(plain(x), *args, **kwargs))
        values = plain(x).flatten(1)
        per_channel = values.shape[1]
        if plain(x).dim() == 2 or change(plain(x), *args, **kwargs).shape != values.shape:
            raise NotMonotoneError("a change of shape other than to one row an image")
        return _like(x, values, channels=x.channels * per_channel)

    return reshape


def _batch_norm(x: Scaled, *_args: Any, **_kwargs: Any) -> Scaled:
    if x.law is None:
        raise NotMonotoneError("batch normalisation")
    return x


def _dropout(x: Scaled, p: float = 0.5, training: bool = True, inplace: bool = False) -> Scaled:
    if training:
        raise NotMonotoneError("dropout in training mode")
    return x


_ACTIVATIONS = (
    F.elu,
    F.gelu,
    F.hardsigmoid,
    F.hardswish,
    F.hardtanh,  # ReLU6 too
    F.mish,
    F.relu6,
    F.silu,
    F.softplus,
    torch.sigmoid,
    Tensor.sigmoid,
    torch.tanh,
    Tensor.tanh,
)

_HANDLERS: dict[Any, Callable[..., Any]] = {
    torch.conv1d: _conv(torch.conv1d),
    torch.conv2d: _conv(torch.conv2d),
    torch.conv3d: _conv(torch.conv3d),
    F.linear: _linear,
    F.max_pool2d: _max_pool,
    torch.max_pool2d: _max_pool,
    F.dropout: _dropout,
    F.dropout2d: _dropout,
    F.pad: _pad,
    F.batch_norm: _batch_norm,
    Tensor.__getitem__: _index,
    torch.cat: _cat,
    torch.add: _add,
    Tensor.add: _add,
    Tensor.__add__: _add,
    Tensor.__radd__: _add,
    Tensor.add_: _add_in_place,
    Tensor.__iadd__: _add_in_place,
    torch.mul: _multiply,
    Tensor.mul: _multiply,
    Tensor.__mul__: _multiply,
    Tensor.__rmul__: _multiply,
    Tensor.__truediv__: _divide,
    Tensor.div: _divide,
    torch.mean: _mean,
    Tensor.mean: _mean,
    **{
        change: _reshape(change)
        for change in (torch.flatten, Tensor.flatten, Tensor.view, Tensor.reshape)
    },
    **{function: _activation(function) for function in _ACTIVATIONS},
    Tensor.sigmoid_: partial(_activation(torch.sigmoid), inplace=True),
}

_KEEPS_SCALE = {
    F.relu,
    torch.relu,
    torch.relu_,
    Tensor.relu,
    Tensor.relu_,
    F.leaky_relu,
    F.avg_pool2d,
    F.adaptive_avg_pool2d,
    Tensor.contiguous,
    Tensor.clone,
    Tensor.to,
    torch.zeros_like,
}

_METADATA = {
    Tensor.shape.__get__,  # type: ignore[attr-defined]
    Tensor.dtype.__get__,  # type: ignore[attr-defined]
    Tensor.device.__get__,
    Tensor.ndim.__get__,  # type: ignore[attr-defined]
    Tensor.requires_grad.__get__,  # type: ignore[attr-defined]
    Tensor.size,
    Tensor.dim,
    Tensor.numel,
    Tensor.__len__,
    Tensor.is_floating_point,
}
