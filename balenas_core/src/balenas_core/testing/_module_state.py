"""A network at one time: weights, buffers, modes, hooks, gradients, methods and attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

_PLAIN = (bool, int, float, str, bytes, type(None), tuple, torch.dtype, torch.device)


class ModuleState:
    """All of a module that a plugin must leave as it found it.

    Args:
        module: It is not copied: its own objects must be in place afterwards.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._members = dict(module.named_modules(remove_duplicate=False))
        self._attributes = {
            name: {key: _frozen(value) for key, value in vars(member).items()}
            for name, member in self._members.items()
        }
        self._classes = {name: type(member) for name, member in self._members.items()}
        self._methods = {cls: _functions(cls) for cls in set(self._classes.values())}
        self._tensors = {name: _TensorState(tensor) for name, tensor in _tensors(module).items()}

    def changes(self) -> list[str]:
        """Say what is another now, one line for each."""
        members = dict(self._module.named_modules(remove_duplicate=False))
        found = [
            f"module {name or '(the whole)'!r} was added, removed or replaced"
            for name in sorted({*members, *self._members})
            if members.get(name) is not self._members.get(name)
        ]
        for name, member in members.items():
            if name in self._attributes:
                found += self._changes_of(name or type(member).__name__, name, member)
        tensors = _tensors(self._module)
        for name in sorted({*tensors, *self._tensors}):
            if name not in tensors or name not in self._tensors:
                found.append(f"{name} was added or removed")
            else:
                found += [
                    f"{what} of {name}" for what in self._tensors[name].changes(tensors[name])
                ]
        return found

    def _changes_of(self, shown: str, name: str, member: nn.Module) -> list[str]:
        if type(member) is not self._classes[name]:
            return [f"class of {shown}"]
        if _functions(type(member)) != self._methods[type(member)]:
            return [f"methods of the class {type(member).__name__}"]
        before, now = self._attributes[name], vars(member)
        changed = [
            key
            for key in (*before, *(key for key in now if key not in before))
            if key not in before or key not in now or before[key] != _frozen(now[key])
        ]
        return [
            f"hooks of {shown} ({key})" if key.endswith("hooks") else f"{shown}.{key}"
            for key in changed
        ]


class _TensorState:
    """One parameter or buffer."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor
        self._values = tensor.detach().clone()
        self._needs_gradient = tensor.requires_grad
        self._gradient = None if tensor.grad is None else tensor.grad.detach().clone()
        self._hooks = _hooks(tensor)

    def changes(self, now: Tensor) -> list[str]:
        changed = []
        if now is not self._tensor:
            changed.append("object")
        if not same(now.detach(), self._values):
            changed.append("values")
        if now.requires_grad != self._needs_gradient:
            changed.append("requires_grad")
        if (now.grad is None) != (self._gradient is None) or (
            now.grad is not None
            and self._gradient is not None
            and not same(now.grad, self._gradient)
        ):
            changed.append("gradient")
        if _hooks(now) != self._hooks:
            changed.append("hooks")
        return changed


def same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal to the bit, NaN being NaN."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return bool(torch.equal(one, other) or torch.equal(one.nan_to_num(), other.nan_to_num()))


def changed_tensors(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> list[str]:
    """Return the names of tensors that are not equal to the bit."""
    return [name for name, value in before.items() if not same(value, after[name])]


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }


def _hooks(tensor: Tensor) -> tuple[int, int]:
    tables = (tensor._backward_hooks, getattr(tensor, "_post_accumulate_grad_hooks", None))
    first, second = (len(table or ()) for table in tables)
    return first, second


def _functions(cls: type) -> dict[str, int]:
    return {key: id(value) for key, value in vars(cls).items() if callable(value)}


def _frozen(value: Any) -> Any:
    """Return what can be compared later: plain values and the keys of tables, else identity."""
    if isinstance(value, Mapping):
        return "mapping", [(key, id(item)) for key, item in value.items()]
    if isinstance(value, list | set):
        return type(value).__name__, [id(item) for item in value]
    if isinstance(value, Tensor):
        return "tensor", id(value), value.detach().cpu().numpy().tobytes()
    if isinstance(value, _PLAIN):
        return value
    return "object", id(value)
