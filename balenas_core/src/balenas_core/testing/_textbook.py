"""Comparisons of a supernet that shares work with one that computes each operation by itself."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn

from balenas_core.random import generator
from balenas_core.space import AnySpace, Supernet, Task, Weights

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
    """Check that one-hot weights run no more convolutions than the architecture's network has.

    Raises:
        AssertionError: More convolutions ran.
    """
    supernet = space.supernet(task)
    calls: list[nn.Module] = []
    for module in supernet.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda module, _inputs, _output: calls.append(module))
    architecture = space.random(generator(0))
    supernet(
        torch.randn((3, *task.input_shape), generator=generator(0)), space.one_hot(architecture)
    )
    network = space.inherit(supernet, architecture)
    assert len(calls) <= sum(isinstance(module, nn.Conv2d) for module in network.modules())


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
