"""Size of a network, layer by layer: parameters, shapes and multiply-adds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from balenas_core.scores.probing import preserved

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_WITH_BIAS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, *_TRANSPOSED)


@dataclass(frozen=True, slots=True)
class LayerDescription:
    """One layer of a network, in the order in which layers finish.

    Args:
        name: Its dotted name in the network; empty for the network itself.
        kind: Name of its class.
        output_shape: Shape of its output for one image, without the batch; None where the
            output is not one tensor.
        parameters: Number of its own parameters; those that another layer shares count at
            the first.
        multiply_adds: Multiply-adds for one image, outside of layers inside it.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...] | None
    parameters: int
    multiply_adds: int


@dataclass(frozen=True, slots=True)
class NetworkDescription:
    """Size of a network.

    Args:
        layers: Layers that compute: those without layers inside, and any other that has
            parameters or multiply-adds of its own.
        parameters: Number of parameters, each counted once, of unused layers too.
        multiply_adds: Multiply-adds for one image.
    """

    layers: tuple[LayerDescription, ...]
    parameters: int
    multiply_adds: int


def describe_network(network: nn.Module, input_shape: tuple[int, ...]) -> NetworkDescription:
    """Run one image of zeros through a network and describe its layers.

    Args:
        network: The network, untouched afterwards. It runs in evaluation mode.
        input_shape: Shape of an image: channels, height, width.

    Returns:
        Its size; multiply-adds as ``count_multiply_adds`` counts them.

    Example:
        >>> described = describe_network(nn.Conv2d(3, 8, 1), (3, 4, 4))
        >>> described.parameters, described.multiply_adds
        (32, 512)
    """
    with _counted(network) as counter:
        recorder = _Recorder(counter)
        for layer in network.modules():
            layer.register_forward_pre_hook(recorder.start)
            layer.register_forward_hook(recorder.finish)
        network(_image(network, input_shape))
    layers = tuple(_described(network, recorder.records))
    return NetworkDescription(
        layers=layers,
        parameters=sum(p.numel() for p in network.parameters()),
        multiply_adds=sum(layer.multiply_adds for layer in layers),
    )


def count_multiply_adds(network: nn.Module, input_shape: tuple[int, ...]) -> int:
    """Return the multiply-adds of a network for one image.

    They are those of matrix products and convolutions, as functions too: half of what
    ``torch.utils.flop_counter`` counts; and one for each output value of a convolution or
    linear layer with a bias. Activations, normalisations, pooling and additions count as
    nothing.

    Args:
        network: The network, untouched afterwards. It runs in evaluation mode.
        input_shape: Shape of an image: channels, height, width.

    References:
        Dong and Yang 2020, "NAS-Bench-201", ICLR, count in the same way what they call FLOPs.
    """
    with _counted(network) as counter:
        network(_image(network, input_shape))
    return counter.flops // 2


def _image(network: nn.Module, shape: tuple[int, ...]) -> Tensor:
    like = next((p for p in network.parameters() if p.is_floating_point()), torch.zeros(()))
    return torch.zeros((1, *shape), dtype=like.dtype, device=like.device)


class _Counter(TorchDispatchMode):
    """Sum of the FLOPs of what runs inside, by torch's own formulas.

    ``torch.utils.flop_counter.FlopCounterMode`` gives the same sum, but also by module name,
    which takes several times as long as a small network.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation and count it."""
        output = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **(kwargs or {}), out_val=output)
        return output

    def add_bias(self, layer: nn.Module, inputs: object, output: Tensor) -> None:
        """Count one multiply-add for each output value: a forward hook."""
        self.flops += 2 * output.numel()


@contextmanager
def _counted(network: nn.Module) -> Iterator[_Counter]:
    """Count what runs in the block; hooks that it registers are gone at the end."""
    with preserved(network), torch.no_grad(), _Counter() as counter:
        network.eval()
        for layer in network.modules():
            if isinstance(layer, _WITH_BIAS) and layer.bias is not None:
                layer.register_forward_hook(counter.add_bias)
        yield counter


@dataclass(slots=True)
class _Record:
    """What one layer did in all its calls; ``order`` is when it last finished."""

    order: int = 0
    flops: int = 0
    output_shape: tuple[int, ...] | None = None


class _Recorder:
    """Hooks that attribute what a counter counts to the innermost running layer."""

    def __init__(self, counter: _Counter) -> None:
        self.records: dict[nn.Module, _Record] = {}
        self._counter = counter
        self._running: list[tuple[int, int]] = []  # FLOPs before, FLOPs of inner layers
        self._finished = 0

    def start(self, layer: nn.Module, _inputs: object) -> None:
        """Remember the count: a forward pre-hook."""
        self._running.append((self._counter.flops, 0))

    def finish(self, layer: nn.Module, _inputs: object, output: object) -> None:
        """Record what the layer did: a forward hook."""
        before, of_inner = self._running.pop()
        flops = self._counter.flops - before
        if self._running:
            outer_before, of_siblings = self._running[-1]
            self._running[-1] = outer_before, of_siblings + flops
        record = self.records.setdefault(layer, _Record())
        record.flops += flops - of_inner
        record.output_shape = tuple(output.shape[1:]) if isinstance(output, Tensor) else None
        record.order = self._finished
        self._finished += 1


def _described(network: nn.Module, records: dict[nn.Module, _Record]) -> Iterator[LayerDescription]:
    names = {layer: name for name, layer in network.named_modules()}
    counted: set[int] = set()
    for layer, record in sorted(records.items(), key=lambda item: item[1].order):
        own = {id(p): p.numel() for p in layer.parameters(recurse=False) if id(p) not in counted}
        counted |= own.keys()
        if own or record.flops or not any(layer.children()):
            yield LayerDescription(
                name=names[layer],
                kind=type(layer).__name__,
                output_shape=record.output_shape,
                parameters=sum(own.values()),
                multiply_adds=record.flops // 2,
            )
