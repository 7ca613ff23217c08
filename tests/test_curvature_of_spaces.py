"""The curvature of real supernets, whose operations have derivatives of their own."""

import pytest
import torch
import torch.nn.functional as F

from balenas_core.engine.curvature import curvature
from balenas_core.interfaces.space import Task
from balenas_core.plugins.registry import default_registry
from balenas_core.random import seeded

SIZES = {
    "nb201": {"channels": 2},
    "darts": {
        "channels": 2,
        "cells": 3,
        "operations": ("skip_connect", "dil_conv_3x3"),
    },
}
TABLES = 1  # of two in darts: as good a check, in half the time


def _problem(name):
    ref = default_registry().find("space", name)
    space = ref.build(ref.load().options(**SIZES[name]))
    with seeded(0):
        supernet = space.supernet(Task((3, 8, 8), 4)).double()
        images = torch.randn(6, 3, 8, 8, dtype=torch.float64)
        logits = [torch.randn(d.shape, dtype=torch.float64) for d in space.decisions]
    labels = torch.arange(6) % 4
    names = [d.name for d in space.decisions]

    def loss(values):
        weights = {n: v.softmax(-1) for n, v in zip(names, values, strict=True)}
        return F.cross_entropy(supernet(images, weights), labels)

    return loss, [value.requires_grad_() for value in logits]


def _exact_hessian(loss, parameters):
    """Central differences of gradients: one exact derivative, one numerical."""
    rows, eps = [], 1e-5
    for parameter in parameters:
        for index in range(parameter.numel()):
            sides = []
            for sign in (1, -1):
                moved = [p.detach().clone() for p in parameters]
                position = next(i for i, p in enumerate(parameters) if p is parameter)
                moved[position].view(-1)[index] += sign * eps
                moved = [m.requires_grad_() for m in moved]
                gradients = torch.autograd.grad(loss(moved), moved)
                sides.append(torch.cat([g.flatten() for g in gradients]))
            rows.append((sides[0] - sides[1]) / (2 * eps))
    hessian = torch.stack(rows)
    return (hessian + hessian.T) / 2


@pytest.mark.parametrize("name", SIZES)
def test_it_equals_that_of_the_exact_hessian(name):
    loss, parameters = _problem(name)
    fixed = parameters[TABLES:]
    parameters = parameters[:TABLES]

    def partial(values):
        return loss([*values, *fixed])

    exact = _exact_hessian(partial, parameters)
    samples = 20
    found = curvature(
        partial(parameters),
        parameters,
        generator=torch.Generator().manual_seed(1),
        iterations=40,
        samples=samples,
    )
    top = torch.linalg.eigvalsh(exact).max().item()
    assert found.top_eigenvalue == pytest.approx(top, rel=1e-2)
    off_diagonal = exact - torch.diag(exact.diag())
    error = (2 * off_diagonal.square().sum() / samples).sqrt().item()
    assert abs(found.trace - exact.trace().item()) < 4 * error
