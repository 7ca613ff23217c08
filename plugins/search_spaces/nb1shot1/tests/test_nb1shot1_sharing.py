"""The supernet that shares work equals the one that computes each operation by itself."""

import copy

import pytest
import torch
from textbook_nb1shot1 import supernet_forward

from balenas_core.space import Task
from balenas_space_nb1shot1 import NB1Shot1Options, NB1Shot1Space


def run(supernet, forward, x, weights):
    """Return output, gradients of weights, images and architecture, and the buffers."""
    x = x.clone().requires_grad_()
    weights = {name: value.clone().requires_grad_() for name, value in weights.items()}
    out = forward(supernet, x, weights)
    out.square().mul(torch.linspace(0.5, 1, out.shape[1], dtype=out.dtype)).sum().backward()
    gradients = {name: p.grad for name, p in supernet.named_parameters()}
    return {
        "out": out.detach(),
        "x": x.grad,
        **{f"architecture {name}": value.grad for name, value in weights.items()},
        **{f"gradient {name}": torch.zeros(1) if g is None else g for name, g in gradients.items()},
        **dict(supernet.named_buffers()),
    }


def relaxed_weights(space, generator):
    return {
        d.name: torch.randn(d.shape, generator=generator, dtype=torch.float64).softmax(-1)
        for d in space.decisions
    }


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("options", [{"space": name} for name in ("s1", "s2", "s3")])
@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 9, 6)])
def test_outputs_gradients_and_running_statistics_are_the_textbooks(options, shape, is_training):
    generator = torch.Generator().manual_seed(0)
    space = NB1Shot1Space(NB1Shot1Options(channels=3, **options))
    supernet = space.supernet(Task(shape, 4)).double().train(is_training)
    for name, value in supernet.named_buffers():
        if name.endswith(("mean", "var")):
            value.uniform_(0.5, 1.5, generator=generator)
    textbook = copy.deepcopy(supernet)
    x = torch.randn((3, *shape), generator=generator, dtype=torch.float64)
    weights = relaxed_weights(space, generator)
    shared = run(supernet, lambda net, x, weights: net(x, weights), x, weights)
    expected = run(textbook, supernet_forward, x, weights)
    assert shared.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(
            shared[name], value, rtol=1e-9, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_second_derivatives_in_the_architecture_are_the_textbooks():
    generator = torch.Generator().manual_seed(1)
    space = NB1Shot1Space(NB1Shot1Options(channels=2))
    supernet = space.supernet(Task((1, 8, 8), 3)).double()
    x = torch.randn((3, 1, 8, 8), generator=generator, dtype=torch.float64)
    weights = relaxed_weights(space, generator)
    products = []
    for forward in (lambda net, x, w: net(x, w), supernet_forward):
        leaves = {name: value.clone().requires_grad_() for name, value in weights.items()}
        loss = forward(supernet, x, leaves).square().sum()
        gradients = torch.autograd.grad(loss, leaves.values(), create_graph=True)
        total = sum(g.square().sum() for g in gradients)
        products.append(torch.autograd.grad(total, leaves.values()))
    torch.testing.assert_close(products[0], products[1], rtol=1e-8, atol=1e-8)


def test_only_the_chosen_operations_are_computed_at_one_hot_weights():
    space = NB1Shot1Space(NB1Shot1Options(channels=2))
    supernet = space.supernet(Task((1, 8, 8), 3))
    calls = []
    for module in supernet.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda m, _, __: calls.append(m))
    x = torch.randn((3, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    architecture = space.random(torch.Generator().manual_seed(0))
    supernet(x, space.one_hot(architecture))
    network = space.inherit(supernet, architecture)
    chosen = sum(isinstance(module, torch.nn.Conv2d) for module in network.modules())
    assert len(calls) <= chosen
