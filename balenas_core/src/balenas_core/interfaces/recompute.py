"""Cells that compute their inside again in the backward pass, for less memory."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def run_recomputed(cell: nn.Module, *inputs: Any) -> Any:
    """Call a cell, keeping its inputs alone; the backward pass calls it again.

    Results, gradients and buffers are those of an ordinary call: the second call sees copies of
    the buffers, so that running statistics move once, and draws the same random numbers.

    Args:
        cell: A module.
        inputs: Its arguments.
    """

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _Again(cell)

    return checkpoint(cell, *inputs, use_reentrant=False, context_fn=contexts)


class _Again:
    """Context in which a module computes as it did when this was made, and moves no buffer.

    Its parameters need gradients where they did then, so that autograd saves the same tensors.
    Its buffers are copies; writing the old numbers back afterwards would invalidate what was
    saved. The context can be entered more than once.
    """

    def __init__(self, module: nn.Module) -> None:
        self._parameters = list(module.parameters())
        self._needed = [parameter.requires_grad for parameter in self._parameters]
        self._owners = [part for part in module.modules() if part._buffers]
        self._needed_outside: list[bool] = []
        self._originals: list[dict[str, Tensor | None]] = []

    def __enter__(self) -> None:
        self._needed_outside = [parameter.requires_grad for parameter in self._parameters]
        self._require(self._needed)
        self._originals = [dict(part._buffers) for part in self._owners]
        for part in self._owners:
            for name, buffer in part._buffers.items():
                part._buffers[name] = None if buffer is None else buffer.clone()

    def __exit__(self, *_: object) -> None:
        self._require(self._needed_outside)
        for part, buffers in zip(self._owners, self._originals, strict=True):
            part._buffers.update(buffers)

    def _require(self, needed: list[bool]) -> None:
        for parameter, needs in zip(self._parameters, needed, strict=True):
            parameter.requires_grad_(needs)
