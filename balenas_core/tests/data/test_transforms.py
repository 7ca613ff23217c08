from __future__ import annotations

import pickle

import pytest
import torch
import torchvision.transforms.v2.functional as reference
from hypothesis import given, strategies as st
from pydantic import ValidationError
from torch.testing import assert_close

from balenas_core.data import ArrayAugmentation, ArrayOptions, Normalization
from balenas_core.data._transforms import (
    augmentation,
    channel_statistics,
    cut_out,
    normalization,
)
from balenas_core.errors import DataError
from balenas_core.random import seeded

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


@pytest.fixture
def image():
    random = torch.Generator().manual_seed(1)
    return torch.randint(1, 256, (3, 16, 12), generator=random, dtype=torch.uint8)


def test_normalization_equals_torchvisions(image):
    scaled = reference.to_dtype(image, torch.float32, scale=True)
    assert_close(Normalization(MEAN, STD)(image), reference.normalize(scaled, MEAN, STD))


def test_normalization_leaves_the_source_as_it_was(image):
    before = image.clone()
    ArrayAugmentation(Normalization(MEAN, STD), 2, True, cutout=4)(image)
    assert_close(image, before)


def test_augmentation_yields_exactly_the_crops_and_mirrors_of_torchvision(image):
    identity = Normalization((0.0,) * 3, (1 / 255,) * 3)
    padded = reference.pad(image, [2])
    expected = {
        tuple(view.flatten().tolist())
        for top in range(5)
        for left in range(5)
        for crop in (reference.crop(padded, top, left, 16, 12),)
        for view in (crop, reference.horizontal_flip(crop))
    }
    augment = ArrayAugmentation(identity, 2, True)
    with seeded(0):
        seen = {tuple(augment(image).round().int().flatten().tolist()) for _ in range(1000)}
    assert seen == expected  # all 50 of them


def test_without_flip_no_view_is_mirrored():
    image = torch.arange(64, dtype=torch.uint8).view(1, 8, 8)
    augment = ArrayAugmentation(Normalization((0.0,), (1.0,)), 0, False)
    with seeded(0):
        assert all(torch.equal(augment(image), augment.normalize(image)) for _ in range(20))


@given(side=st.integers(1, 9), seed=st.integers(0, 1000))
def test_cutout_masks_one_rectangle_no_larger_than_its_side(side, seed):
    with seeded(seed):
        mask = cut_out(torch.ones(2, 6, 7), side) == 0
    assert torch.equal(mask[0], mask[1])
    rows, columns = mask[0].any(1), mask[0].any(0)
    assert torch.equal(mask[0], rows[:, None] & columns[None])
    smallest = side - side // 2  # the centre's own half, in a corner
    assert min(smallest, 6) <= rows.sum() <= side
    assert min(smallest, 7) <= columns.sum() <= side


def test_cutout_of_16_on_a_cifar_image_masks_a_quarter_at_most():
    with seeded(0):
        shares = [
            float((cut_out(torch.ones(3, 32, 32), 16) == 0).float().mean()) for _ in range(99)
        ]
    assert max(shares) == 0.25
    assert min(shares) >= 0.0625


@pytest.mark.parametrize("channels", [1, 3])
def test_channel_statistics_are_those_of_the_scaled_pixels(channels):
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (5, channels, 4, 4), generator=random, dtype=torch.uint8)
    mean, std = channel_statistics(pixels)
    scaled = pixels.double() / 255
    assert_close(torch.tensor(mean).double(), scaled.mean((0, 2, 3)), check_dtype=False)
    expected = scaled.std((0, 2, 3), correction=0)
    assert_close(torch.tensor(std).double(), expected, check_dtype=False)


def test_a_constant_channel_becomes_zero():
    pixels = torch.full((2, 1, 3, 3), 7, dtype=torch.uint8)
    normalize = Normalization(*channel_statistics(pixels))
    assert_close(normalize(pixels[0]), torch.zeros(1, 3, 3), atol=1e-6, rtol=0)


def test_padding_is_an_eighth_of_the_side_by_default():
    normalize = Normalization(MEAN, STD)
    assert augmentation(ArrayOptions(), normalize, side=32).padding == 4
    assert augmentation(ArrayOptions(), normalize, side=8).padding == 1
    assert augmentation(ArrayOptions(padding=3), normalize, side=8).padding == 3


def test_no_augmentation_is_normalization_alone():
    normalize = Normalization(MEAN, STD)
    assert augmentation(ArrayOptions(augment=False, cutout=4), normalize, side=8) is normalize


def test_own_constants_replace_the_defaults():
    normalize = normalization(ArrayOptions(mean=(0.1, 0.2, 0.3)), MEAN, STD, channels=3)
    assert (normalize.mean, normalize.std) == ((0.1, 0.2, 0.3), STD)


def test_constants_must_be_one_per_channel():
    with pytest.raises(
        DataError, match=r"data\.std must have one number per channel \(3\); got \[0\.5\]"
    ):
        normalization(ArrayOptions(std=(0.5,)), MEAN, STD, channels=3)


def test_transforms_survive_pickling_for_spawned_workers(image):
    augment = ArrayAugmentation(Normalization(MEAN, STD), 2, True, cutout=4)
    copy = pickle.loads(pickle.dumps(augment))
    with seeded(3):
        expected = augment(image)
    with seeded(3):
        assert_close(copy(image), expected)


@pytest.mark.parametrize("key", ["cutout", "padding"])
def test_a_mask_or_padding_as_large_as_the_image_is_refused(key):
    with pytest.raises(DataError, match=rf"data\.{key} must be less than .* 8 pixels; got 8"):
        augmentation(ArrayOptions(**{key: 8}), Normalization(MEAN, STD), side=8)


@pytest.mark.parametrize(
    "bad",
    [
        {"mean": [float("nan")]},
        {"std": [0.0]},
        {"std": [float("inf")]},
        {"cutout": -1},
        {"padding": -1},
        {"flipp": True},
    ],
)
def test_options_out_of_range_are_refused(bad):
    with pytest.raises(ValidationError, match=next(iter(bad))):
        ArrayOptions(**bad)
