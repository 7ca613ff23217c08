"""How parameters of any memory layout line up with flat state.

A parameter that fills its memory without gaps (contiguous, channels-last, transposed) is
seen in memory order; any other one in logical order, at the price of slower copies.
"""

from __future__ import annotations

from torch import Tensor


def is_dense(tensor: Tensor) -> bool:
    """Return whether the elements fill a stretch of memory, each place once."""
    if tensor.is_contiguous():
        return True
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size == 1:
            continue
        if stride != expected:
            return False
        expected *= size
    return True


def linear(tensor: Tensor) -> Tensor:
    """Return an alias in memory order: the tensor if contiguous, a 1-dim view if dense."""
    if tensor.is_contiguous() or not is_dense(tensor):
        return tensor
    return tensor.as_strided((tensor.numel(),), (1,))


def linear_like(gradient: Tensor, parameter: Tensor) -> Tensor:
    """Return the gradient's elements in the order of ``linear(parameter)``."""
    if parameter.is_contiguous():
        return gradient.contiguous()
    if not is_dense(parameter):
        return gradient
    if gradient.stride() != parameter.stride():
        gradient = (
            gradient.new_empty(0)
            .new_empty_strided(parameter.shape, parameter.stride())
            .copy_(gradient)
        )
    return linear(gradient)


def shaped_like(flat: Tensor, offset: int, parameter: Tensor) -> Tensor:
    """Return the view of flat state that belongs to a parameter, in the parameter's shape."""
    if is_dense(parameter):
        return flat.as_strided(parameter.shape, parameter.stride(), offset)
    return flat[offset : offset + parameter.numel()].view(parameter.shape)
