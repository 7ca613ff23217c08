"""Holds the space against balenas's conformance kit, and its slices against timm."""

import pytest
import torch
from balenas_core.errors import UsageError
from balenas_core.interfaces.space import Task
from balenas_core.random import generator
from balenas_core.testing import SearchSpaceConformance

from balenas_space_transformer import Options
from balenas_space_transformer._space import TransformerSpace


class TestTransformer(SearchSpaceConformance):
    plugin_name = "transformer"


def test_the_largest_slice_is_the_whole() -> None:
    space = TransformerSpace(Options())
    supernet = space.supernet(Task((3, 8, 8), 5))
    largest = space.parse("w32/d3/h4r2-h4r2-h4r2")
    network = space.inherit(supernet, largest)
    sizes = [sum(p.numel() for p in module.parameters()) for module in (supernet, network)]
    assert sizes[0] == sizes[1]


def test_a_block_is_timms_own() -> None:
    space = TransformerSpace(Options())
    network = space.network(space.parse("w24/d1/h2r2-h1r1-h1r1"), Task((3, 8, 8), 5))
    # Two norms, qkv and projection of two heads of eight channels, and the MLP.
    expected = 4 * 24 + (24 + 1) * 48 + (16 + 1) * 24 + (24 + 1) * 48 + (48 + 1) * 24
    assert sum(p.numel() for p in network.blocks.parameters()) == expected


def test_patches_must_divide_the_image() -> None:
    space = TransformerSpace(Options(patch=5))
    with pytest.raises(UsageError, match=r"set space\.patch"):
        space.network(space.random(generator(0)), Task((3, 8, 8), 5))


def test_masks_of_relaxed_weights_are_between_those_of_the_choices() -> None:
    from balenas_space_transformer._network import _mask

    mask = _mask(torch.tensor([0.25, 0.75]), (1, 3))
    torch.testing.assert_close(mask, torch.tensor([1.0, 0.75, 0.75]))
