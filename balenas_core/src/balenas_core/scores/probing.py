"""Looking into an untrained network without leaving a trace in it: tools for proxies."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from balenas_core.interfaces.proxy import Batch

Loss = Callable[[Tensor, Tensor], Tensor]
"""(logits, labels) -> scalar loss."""

WEIGHT_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
"""Layers whose ``weight`` (never the bias) the proxies of the literature look at."""


_TABLES = (dict, set)


@contextmanager
def preserved(
    network: nn.Module, *, dtype: torch.dtype | None = None, seed: int = 0
) -> Iterator[nn.Module]:
    """Let the body do what it likes to ``network``, and put everything back at the end.

    Inside the body every parameter and buffer is a private copy (a leaf that requires a
    gradient, without one yet), so the originals are never written to. Modes, hooks, replaced
    submodules and methods, and every other attribute that the body rebinds, return to what
    they were, also when the body raises. What lies inside an attribute that is neither a
    parameter nor a buffer (a list that is appended to) is not tracked.

    Gradients are on inside the body, whatever the caller has switched off. Random numbers that
    the network itself draws (dropout) come from generators seeded for the body alone, so that
    two bodies see the same ones and the caller's stream does not move. These are torch's global
    generators: threads that score networks with dropout at the same time disturb each other.

    Args:
        network: The network; the body may also use it under the name it has outside.
        dtype: Floating-point type of the copies; None keeps each tensor's own.
        seed: Seed of the random numbers that the network draws.

    Yields:
        ``network``.

    Example:
        >>> network = nn.Linear(2, 1)
        >>> before = network.weight.clone()
        >>> with preserved(network) as probe:
        ...     _ = probe.weight.requires_grad_(False).zero_()
        >>> bool((network.weight == before).all())
        True
    """
    members = list(network.modules())
    modules = [_ModuleState.of(module) for module in members]
    parameters = list(network.parameters())
    originals = [_ParameterState(p, p.grad, p.requires_grad) for p in parameters]
    devices = sorted({p.device.index for p in parameters if p.is_cuda})
    with (
        torch.random.fork_rng(devices),
        torch.inference_mode(False),
        torch.enable_grad(),
    ):
        torch.default_generator.manual_seed(seed)
        for device in devices:
            torch.cuda.default_generators[device].manual_seed(seed)
        try:
            _use_copies(members, dtype)
            for original in originals:
                original.clear_grad()
            yield network
        finally:
            for module in modules:
                module.restore()
            for original in originals:
                original.restore()


@dataclass(frozen=True, slots=True)
class _ParameterState:
    parameter: nn.Parameter
    grad: Tensor | None
    requires_grad: bool

    def clear_grad(self) -> None:
        # A network may reach a parameter by a second way (an RNN's flat weights): without a
        # gradient in place, the body cannot add to the caller's.
        if self.parameter.grad is not None:
            self.parameter.grad = None

    def restore(self) -> None:
        if self.parameter.grad is not self.grad:
            self.parameter.grad = self.grad
        if self.parameter.requires_grad != self.requires_grad:
            self.parameter.requires_grad_(self.requires_grad)


@dataclass(frozen=True, slots=True)
class _ModuleState:
    module: nn.Module
    attributes: dict[str, Any]
    tables: dict[str, Any]

    @classmethod
    def of(cls, module: nn.Module) -> _ModuleState:
        """Remember every attribute, and the contents of the tables of ``nn.Module``."""
        attributes = vars(module).copy()
        # Handles of hooks refer to the table they are in: it must stay the same object.
        tables = {
            name: value.copy() if value else None
            for name, value in attributes.items()
            if isinstance(value, _TABLES)
        }
        return cls(module, attributes, tables)

    def restore(self) -> None:
        current = vars(self.module)
        current.clear()
        current.update(self.attributes)
        for name, contents in self.tables.items():
            table = current[name]
            if table or contents:
                table.clear()
                table.update(contents or ())


def _use_copies(members: list[nn.Module], dtype: torch.dtype | None) -> None:
    """Replace every parameter and buffer by a copy; one that is shared stays shared."""
    copies: dict[int, Tensor] = {}
    for module in members:
        for table in (module._parameters, module._buffers):
            for name, tensor in table.items():
                if tensor is None:
                    continue
                if id(tensor) not in copies:
                    copies[id(tensor)] = _copy(tensor, dtype)
                table[name] = copies[id(tensor)]  # type: ignore[assignment]


def _copy(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    to = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
    copy = tensor.detach().to(to, copy=True)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(copy, requires_grad=copy.is_floating_point())
    return copy


def batch_for(network: nn.Module, batch: Batch) -> Batch:
    """Return a copy of ``batch`` on the network's device, images in its floating-point type.

    A copy, because the first layer of a network may work in place.
    """
    weight = next((p for p in network.parameters() if p.is_floating_point()), None)
    if weight is None:
        return Batch(batch.images.detach().clone(), batch.labels)
    images = batch.images.detach().to(weight.device, weight.dtype, copy=True)
    return Batch(images, batch.labels.to(weight.device))


def weight_layers(network: nn.Module) -> list[nn.Module]:
    """Return the convolutions and linear layers of ``network``, each once, in order."""
    return [module for module in network.modules() if isinstance(module, WEIGHT_LAYERS)]


def layer_weights(network: nn.Module) -> list[Tensor]:
    """Return the weights of ``weight_layers``; one that several layers share comes once."""
    weights = {id(layer.weight): layer.weight for layer in weight_layers(network)}
    return list(weights.values())  # type: ignore[arg-type]


def bypass_batch_norm(network: nn.Module) -> None:
    """Make every batch normalisation pass its input on; only inside ``preserved``."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            vars(module)["forward"] = _identity


def _identity(x: Tensor) -> Tensor:
    return x


def score_or_worst(value: float | Tensor) -> float:
    """Return ``value`` as a float; ``-inf``, the lowest rank, where it is not finite.

    An overflow counts as the lowest rank too: ``+inf`` would be chosen as the best.
    """
    number = float(value)
    return number if math.isfinite(number) else -math.inf
