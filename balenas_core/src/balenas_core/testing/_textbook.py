"""Comparisons of a supernet that shares work with one that computes each operation by itself."""

from __future__ import annotations

import copy
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Generator, Tensor
from torch.func import functional_call, grad, jvp, vmap
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from balenas_core.engine.cells import compile_cells
from balenas_core.interfaces.space import AnySpace, Supernet, Task, Weights
from balenas_core.random import generator, seeded

Forward = Callable[[Supernet, Tensor, Weights], Tensor]
"""(supernet, images, weights) -> logits, by the supernet's own modules one at a time."""


def assert_textbook_supernet(
    space: AnySpace, textbook: Forward, task: Task, *, is_training: bool
) -> None:
    """Check outputs, all gradients and running statistics against the textbook, in float64.

    Raises:
        AssertionError: One differs by more than round-off; the message names it.
    """
    source = generator(0)
    supernet = space.supernet(task).double().train(is_training)
    for name, value in supernet.named_buffers():
        if name.endswith(("mean", "var")):
            value.uniform_(0.5, 1.5, generator=source)
    images = torch.randn((3, *task.input_shape), generator=source, dtype=torch.float64)
    weights = _relaxed_weights(space, source)
    expected = _outcome(copy.deepcopy(supernet), textbook, images, weights)
    found = _outcome(supernet, _own_forward, images, weights)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-10, msg=_naming(name))


def assert_recomputed_cells(space: AnySpace, task: Task) -> None:
    """Check that cells computed again in the backward pass change no bit, and keep less.

    Raises:
        AssertionError: An output, a gradient or a buffer differs, or no less was kept.
    """
    source = generator(3)
    supernet = space.supernet(task)
    assert supernet.cell_modules, "the supernet names no cells"
    images = torch.randn((4, *task.input_shape), generator=source)
    weights = {name: value.float() for name, value in _relaxed_weights(space, source).items()}
    again = copy.deepcopy(supernet)
    again.recomputes_cells = True
    kept, expected = _kept(lambda: _outcome(supernet, _own_forward, images, weights))
    kept_again, found = _kept(lambda: _outcome(again, _own_forward, images, weights))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0, msg=_naming(name))
    assert kept_again < kept, (kept_again, kept)


def assert_compiled_cells(space: AnySpace, task: Task) -> None:
    """Check that cells compiled as far as to the graphs of forward and backward are the same.

    What a space decides is whether its cells become such graphs; the code that is generated of
    them, which takes minutes, is torch's own.

    Raises:
        AssertionError: An output, a gradient or a buffer differs by more than round-off, or
            nothing can be compiled here.
    """
    source = generator(4)
    supernet = space.supernet(task).double()
    images = torch.randn((4, *task.input_shape), generator=source, dtype=torch.float64)
    weights = _relaxed_weights(space, source)
    compiled = copy.deepcopy(supernet)
    expected = _outcome(supernet, _own_forward, images, weights)
    with torch.compiler.set_stance(force_backend="aot_eager"), warnings.catch_warnings():
        # The compiler looks at what it need not, and says so.
        warnings.filterwarnings("ignore", r"The \.grad attribute of a Tensor")
        compile_cells(compiled.cell_modules, images.device)
        assert all(cell._compiled_call_impl is not None for cell in compiled.cell_modules), (
            "nothing was compiled; the log says why"
        )
        found = _outcome(compiled, _own_forward, images, weights)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-8, atol=1e-8, msg=_naming(name))


def assert_learns_in_bfloat16(space: AnySpace, task: Task) -> None:
    """Check that weights and architecture learn a batch under autocast to bfloat16.

    Raises:
        AssertionError: The loss did not fall.
    """
    source = generator(5)
    with seeded(5):
        supernet = space.supernet(task)
    images = torch.randn((8, *task.input_shape), generator=source)
    labels = torch.arange(8) % task.num_classes
    logits = {d.name: torch.zeros(d.shape, requires_grad=True) for d in space.decisions}
    optimizer = torch.optim.SGD([*supernet.parameters(), *logits.values()], lr=0.05, momentum=0.9)
    losses = []
    for _ in range(12):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            weights = {name: value.softmax(-1) for name, value in logits.items()}
            output = supernet(images, weights)
        loss = functional.cross_entropy(output.float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0], losses
    assert all(value.grad is not None and value.grad.any() for value in logits.values())


T = TypeVar("T")


def _kept(compute: Callable[[], T]) -> tuple[int, T]:
    """Return the bytes that autograd keeps outside of recomputed cells, and the result."""
    blocks: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        blocks[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = compute()
    return sum(blocks.values()), result


def _naming(name: str) -> Callable[[str], str]:
    return lambda text: f"{name}: {text}"


def assert_textbook_curvature(space: AnySpace, textbook: Forward, task: Task) -> None:
    """Check second derivatives in the architecture weights against the textbook, in float64.

    Raises:
        AssertionError: They differ by more than round-off.
    """
    source = generator(1)
    supernet = space.supernet(task).double()
    images = torch.randn((3, *task.input_shape), generator=source, dtype=torch.float64)
    weights = _relaxed_weights(space, source)
    products = []
    for forward in (_own_forward, textbook):
        leaves = {name: value.clone().requires_grad_() for name, value in weights.items()}
        loss = forward(supernet, images, leaves).square().sum()
        gradients = torch.autograd.grad(loss, list(leaves.values()), create_graph=True)
        total = torch.stack([gradient.square().sum() for gradient in gradients]).sum()
        products.append(torch.autograd.grad(total, list(leaves.values())))
    torch.testing.assert_close(products[0], products[1], rtol=1e-8, atol=1e-8)


def assert_computes_only_the_chosen(space: AnySpace, task: Task) -> None:
    """Check that one-hot weights compute no more layers than the architecture's network.

    Raises:
        AssertionError: There were more convolutions, poolings or normalisations.
    """
    supernet = space.supernet(task)
    images = torch.randn((3, *task.input_shape), generator=generator(0))
    for seed in range(3):
        architecture = space.random(generator(seed))
        network = space.inherit(supernet, architecture)
        with _LayerCounts() as expected:
            network(images)
        with _LayerCounts() as found:
            supernet(images, space.one_hot(architecture))
        assert expected.counts, "no layer was counted"
        assert found.counts <= expected.counts, (str(architecture), found.counts - expected.counts)


def assert_transforms(space: AnySpace, task: Task) -> None:
    """Check that ``torch.func`` goes through the supernet: per-sample gradients, jvp, vmap.

    Raises:
        AssertionError: A result differs from that of ordinary calls, in float64.
    """
    source = generator(2)
    # Batch normalisation by the batch has no gradient of one sample.
    supernet = space.supernet(task).double().eval()
    images = torch.randn((2, *task.input_shape), generator=source, dtype=torch.float64)
    weights = _relaxed_weights(space, source)
    parameters: dict[str, Tensor] = dict(supernet.named_parameters())

    def loss_of_one(parameters: dict[str, Tensor], image: Tensor) -> Tensor:
        logits: Tensor = functional_call(supernet, parameters, (image[None], weights))
        return logits.square().sum()

    def loss(weights: Weights) -> Tensor:
        return _own_forward(supernet, images, weights).square().sum()

    by_sample = vmap(grad(loss_of_one), (None, 0))(parameters, images)
    for number, image in enumerate(images):
        alone = torch.autograd.grad(
            loss_of_one(parameters, image),
            list(parameters.values()),
            allow_unused=True,
            materialize_grads=True,
        )
        for name, gradient in zip(parameters, alone, strict=True):
            torch.testing.assert_close(by_sample[name][number], gradient, msg=_naming(name))

    directions = _relaxed_weights(space, source)
    leaves = {name: value.clone().requires_grad_() for name, value in weights.items()}
    gradients = torch.autograd.grad(loss(leaves), list(leaves.values()))
    slope = sum((g * d).sum() for g, d in zip(gradients, directions.values(), strict=True))
    with warnings.catch_warnings():
        # The first jvp of a process makes torch compile rules in a way that it warns of itself.
        warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)
        tangent = jvp(loss, (weights,), (directions,))[1]
    torch.testing.assert_close(tangent, slope)
    pairs = {name: torch.stack([weights[name], directions[name]]) for name in weights}
    expected = torch.stack([loss(weights), loss(directions)])
    torch.testing.assert_close(vmap(loss)(pairs), expected)


class _LayerCounts(TorchDispatchMode):
    """Counts calls of layers, whichever modules or functions they come from."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = str(func)
        for layer in ("conv", "pool", "batch_norm", "addmm"):
            self.counts[layer] += layer in name
        return func(*args, **(kwargs or {}))


def _own_forward(supernet: Supernet, images: Tensor, weights: Weights) -> Tensor:
    logits: Tensor = supernet(images, weights)
    return logits


def _relaxed_weights(space: AnySpace, source: Generator) -> dict[str, Tensor]:
    return {
        d.name: torch.randn(d.shape, generator=source, dtype=torch.float64).softmax(-1)
        for d in space.decisions
    }


def _outcome(
    supernet: Supernet, forward: Forward, images: Tensor, weights: Weights
) -> dict[str, Tensor]:
    """Return output, gradients of weights, images and architecture, and the buffers."""
    images = images.clone().requires_grad_()
    leaves = {name: value.clone().requires_grad_() for name, value in weights.items()}
    out = forward(supernet, images, leaves)
    # Uneven factors, so that gradients of different classes cannot cancel.
    factors = torch.linspace(0.5, 1, out.shape[1], dtype=out.dtype)
    (out.square() * factors).sum().backward()
    zero = torch.zeros(1)
    gradients = {
        "images": images.grad,
        **{f"architecture {name}": value.grad for name, value in leaves.items()},
        **{f"weight {name}": value.grad for name, value in supernet.named_parameters()},
    }
    return {
        "logits": out.detach(),
        **{name: zero if value is None else value for name, value in gradients.items()},
        **{f"buffer {name}": value for name, value in supernet.named_buffers()},
    }
