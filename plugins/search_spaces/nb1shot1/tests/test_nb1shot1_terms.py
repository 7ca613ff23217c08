"""Terms that are added in place have exact derivatives."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from balenas_core.nn import NodeSum, Source
from balenas_space_nb1shot1._terms import MaxPool, Part, add_parts


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("is_first", [True, False])
def test_pooled_term(is_first):
    def function(x, weight, other):
        total = NodeSum()
        if not is_first:
            total.add(2 * other)
        MaxPool().accumulate(Source(x), weight, weight.item(), total)
        return total.result()

    inputs = (randn(2, 3, 4, 3), torch.tensor(0.3, dtype=torch.float64), randn(2, 3, 4, 3, seed=1))
    inputs = tuple(t.requires_grad_() for t in inputs)
    pooled = torch.nn.functional.max_pool2d(inputs[0], 3, 1, 1)
    expected = inputs[1] * pooled + (0 if is_first else 2 * inputs[2])
    torch.testing.assert_close(function(*inputs), expected)
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


@pytest.mark.parametrize("is_first", [True, False])
def test_parts_of_a_concatenation(is_first):
    def function(weights, total, *parts):
        sums = NodeSum()
        if not is_first:
            sums.add(2 * total)
        places = zip((0, 2), parts, weights, strict=True)
        add_parts(sums, [Part(k, part, w, w.item()) for k, part, w in places], 3)
        return sums.result()

    inputs = (randn(2), randn(2, 6, 2, 3), randn(2, 2, 2, 3, seed=1), randn(2, 2, 2, 3, seed=2))
    inputs = tuple(t.requires_grad_() for t in inputs)
    weights, total, first, last = inputs
    joined = torch.cat([weights[0] * first, torch.zeros_like(first), weights[1] * last], dim=1)
    torch.testing.assert_close(function(*inputs), joined + (0 if is_first else 2 * total))
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)
