"""Tensors that carry a derivative and a power of two through a network without a graph.

Between absolute weights and a non-negative image, a network of convolutions, linear layers,
ReLUs, pooling, sums and concatenations only adds and multiplies numbers that are not negative.
So its value and its derivative in a common scale of the weights can go through it side by side,
as two rows of one batch, and any power of two can be taken out of them without an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_ROOM = 0.4  # of the type's range of exponents; the rest is for the sum of one layer


class NotLinearError(Exception):
    """The network does something that this arithmetic cannot follow."""


class Scaled(Tensor):
    """Value and derivative, `2 x ...`-dim, times ``2 ** exponent``.

    Operations that are not known to be sums and products of non-negative numbers raise
    ``NotLinearError``.
    """

    exponent: int

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
                return _same_rows(func(plain(args[0]), *args[1:], **kwargs), args[0].exponent)
        raise NotLinearError(getattr(func, "__name__", repr(func)))


def scaled(values: Tensor, exponent: int = 0) -> Scaled:
    """Attach an exponent to values."""
    result = values.as_subclass(Scaled)
    result.exponent = exponent
    return result


def plain(x: Tensor) -> Tensor:
    """Return the values without their exponent."""
    return x.as_subclass(Tensor)


def _same_rows(values: Tensor, exponent: int) -> Scaled:
    if values.dim() == 0 or values.shape[0] != 2:
        raise NotLinearError("a change of the batch")
    return scaled(values, exponent)


def _shifted(values: Tensor, by: int) -> Tensor:
    """Multiply by ``2 ** by``, without an error; beyond float64's range by its ends."""
    return values * 2.0 ** max(min(by, 1000), -1074)


def _rescaled(values: Tensor, exponent: int) -> Scaled:
    """Attach an exponent, after moving a power of two into it if the values are far from 1."""
    largest = float(values.amax()) if values.numel() else 0.0
    limit = torch.finfo(values.dtype).max ** _ROOM
    if largest > 0 and math.isfinite(largest) and not 1 / limit < largest < limit:
        shift = math.frexp(largest)[1]
        return scaled(_shifted(values, -shift), exponent + shift)
    return scaled(values, exponent)


def _weighted(
    apply: Callable[..., Tensor], x: Tensor, weight: Tensor, bias: Tensor | None, *rest: Any
) -> Scaled:
    """Apply a layer: the derivative of its product is that of its input, and the product."""
    for parameter in (weight, bias):
        if parameter is not None and not isinstance(parameter, nn.Parameter):
            raise NotLinearError("a weight that is computed")
    if not isinstance(x, Scaled):
        raise NotLinearError("a layer applied to a constant")
    values = apply(plain(x), weight, None, *rest)
    values[1] += values[0]
    if bias is not None:
        per_channel = (-1,) if apply is F.linear else (-1, *(1,) * (values.dim() - 2))
        values[0] += _shifted(bias, -x.exponent).view(per_channel)
    return _rescaled(values, x.exponent)


def _conv(name: Callable[..., Tensor]) -> Callable[..., Scaled]:
    def conv(
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Scaled:
        return _weighted(name, x, weight, bias, stride, padding, dilation, groups)

    return conv


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Scaled:
    return _weighted(F.linear, x, weight, bias)


def _max_pool(x: Scaled, *args: Any, **kwargs: Any) -> Scaled:
    """Take the derivative where the value is largest, not where it is itself."""
    kwargs = {**kwargs, "return_indices": True}
    values, indices = F.max_pool2d(plain(x)[:1], *args, **kwargs)
    derivative = plain(x)[1:].flatten(2).gather(2, indices.flatten(2)).view_as(values)
    return scaled(torch.cat([values, derivative]), x.exponent)


def _align(tensors: Sequence[Tensor]) -> tuple[list[Tensor], int]:
    given = [t for t in tensors if isinstance(t, Scaled)]
    if len(given) < len(tensors):
        raise NotLinearError("a constant added to the signal")
    exponent = max(t.exponent for t in given)
    return [
        plain(t) if t.exponent == exponent else _shifted(plain(t), t.exponent - exponent)
        for t in given
    ], exponent


def _add(x: Any, other: Any, *, alpha: float = 1) -> Scaled:
    for one, two in ((x, other), (other, x)):
        if isinstance(one, int | float) and one == 0 and isinstance(two, Scaled):
            return two  # where Python's sum() begins
    if alpha != 1 or not isinstance(x, Tensor) or not isinstance(other, Tensor):
        raise NotLinearError("a constant added to the signal")
    (one, two), exponent = _align([x, other])
    return scaled(one + two, exponent)


def _add_in_place(x: Scaled, other: Any, *, alpha: float = 1) -> Scaled:
    total = _add(x, other, alpha=alpha)
    plain(x).copy_(plain(total))
    x.exponent = total.exponent
    return x


def _cat(tensors: Sequence[Tensor], dim: int = 0) -> Scaled:
    if dim == 0:
        raise NotLinearError("images put together along the batch")
    values, exponent = _align(tensors)
    return scaled(torch.cat(values, dim), exponent)


def _scale(x: Any, factor: Any) -> Scaled:
    if not isinstance(x, Scaled):
        x, factor = factor, x
    if not isinstance(factor, int | float) or factor < 0:
        raise NotLinearError("a product of two signals, or with a negative number")
    return _rescaled(plain(x) * factor, x.exponent)


def _divide(x: Any, divisor: Any) -> Scaled:
    if not isinstance(x, Scaled) or not isinstance(divisor, int | float) or divisor <= 0:
        raise NotLinearError("a quotient of two signals, or with a negative number")
    return _rescaled(plain(x) / divisor, x.exponent)


def _mean(x: Scaled, dim: Any = None, keepdim: bool = False) -> Scaled:
    dims = (dim,) if isinstance(dim, int) else dim
    if not dims or 0 in {d % x.dim() for d in dims}:
        raise NotLinearError("a mean over the batch")
    return scaled(plain(x).mean(dim, keepdim), x.exponent)


def _pad(x: Scaled, pad: Any, mode: str = "constant", value: float | None = None) -> Scaled:
    if mode == "constant" and value:
        raise NotLinearError("padding with a number other than 0")
    return scaled(F.pad(plain(x), pad, mode, value), x.exponent)


def _index(x: Scaled, index: Any) -> Scaled:
    if not isinstance(index, tuple) or index[0] != slice(None):
        raise NotLinearError("a part of the batch")
    return scaled(plain(x)[index], x.exponent)


def _dropout(x: Scaled, p: float = 0.5, training: bool = True, inplace: bool = False) -> Scaled:
    if training:
        raise NotLinearError("dropout in training mode")
    return x


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
    Tensor.__getitem__: _index,
    torch.cat: _cat,
    torch.add: _add,
    Tensor.add: _add,
    Tensor.__add__: _add,
    Tensor.__radd__: _add,
    Tensor.add_: _add_in_place,
    Tensor.__iadd__: _add_in_place,
    torch.mul: _scale,
    Tensor.mul: _scale,
    Tensor.__mul__: _scale,
    Tensor.__rmul__: _scale,
    Tensor.__truediv__: _divide,
    Tensor.div: _divide,
    torch.mean: _mean,
    Tensor.mean: _mean,
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
    torch.flatten,
    Tensor.flatten,
    Tensor.view,
    Tensor.reshape,
    Tensor.squeeze,
    Tensor.contiguous,
    Tensor.clone,
    Tensor.to,
    torch.zeros_like,
    Tensor.new_zeros,
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
