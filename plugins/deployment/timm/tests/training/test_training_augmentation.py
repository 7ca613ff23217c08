"""Which transforms an image goes through, and that they depend on torch's generator alone."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from training_toys import toy_data

from balenas_core.data import BatchLoader, DigitsOptions, digits, training_part
from balenas_core.errors import UsageError
from balenas_core.interfaces.dataset import ImageDataset
from balenas_core.random import seeded
from balenas_timm.recipes import TrainingRecipe
from balenas_timm.training._augmentation import Augmentation, augmentation


def identity(image):
    return image.float()


GREY = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16)
COLOUR = torch.stack([GREY[0], GREY[0].T, GREY[0].flip(0)])


def test_without_settings_only_the_dataset_augments():
    transform = Augmentation(TrainingRecipe(), identity)
    assert torch.equal(transform(GREY), GREY.float())


@pytest.mark.parametrize("policy", ["original", "v0-mstd0.5", "rand-m9-mstd0.5", "augmix-m3-w3"])
@pytest.mark.parametrize("image", [GREY, COLOUR], ids=["grey", "colour"])
def test_a_policy_changes_pixels_and_keeps_their_form(policy, image):
    transform = Augmentation(TrainingRecipe(auto_augment=policy), lambda pixels: pixels)
    views = []
    for seed in range(6):
        with seeded(seed):
            views.append(transform(image))
    assert all(view.shape == image.shape and view.dtype == torch.uint8 for view in views)
    assert any(not torch.equal(view, image) for view in views)
    assert len({view.numpy().tobytes() for view in views}) > 1


def test_cutout_masks_one_square_with_the_mean():
    transform = Augmentation(TrainingRecipe(cutout=4), lambda image: torch.ones(1, 16, 16))
    with seeded(2):
        view = transform(GREY)
    rows, columns = torch.nonzero(view[0] == 0, as_tuple=True)
    height, width = rows.max() - rows.min() + 1, columns.max() - columns.min() + 1
    assert len(rows) == height * width
    assert max(height, width) == 4


def test_erasing_comes_last_and_fills_with_the_mean():
    recipe = TrainingRecipe(erasing=1.0, erasing_mode="const")
    transform = Augmentation(recipe, lambda image: torch.ones(1, 16, 16))
    with seeded(0):
        view = transform(GREY)
    erased = (view == 0).double().mean().item()
    assert 0.02 * 0.8 < erased < 1 / 3 * 1.2


def test_the_order_is_policy_dataset_masks():
    seen = []

    def inner(image):
        seen.append(image.dtype)
        return torch.ones(1, 16, 16)

    recipe = TrainingRecipe(auto_augment="rand-m9", cutout=4)
    with seeded(0):
        view = Augmentation(recipe, inner)(GREY)
    assert seen == [torch.uint8]
    assert (view == 0).any()


def _states():
    return random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002


def test_views_depend_on_torchs_generator_alone_and_leave_the_others_alone():
    recipe = TrainingRecipe(auto_augment="rand-m9-mstd0.5", erasing=0.5)
    transform = Augmentation(recipe, identity)
    views = []
    for other in range(2):
        random.seed(other)
        np.random.seed(other)  # noqa: NPY002
        before = _states()
        with seeded(5):
            views.append(transform(COLOUR))
        assert _states() == before
    assert torch.equal(*views)


def test_workers_give_the_images_of_one_process():
    dataset = digits.load_implementation()(DigitsOptions())
    recipe = TrainingRecipe(auto_augment="rand-m9-mstd0.5", erasing=0.5, cutout=2)
    part = training_part(dataset)
    part = type(part)(part.name, part.images, part.indices[:40], augmentation(recipe, dataset))
    loaded = []
    for workers in (0, 1):
        with BatchLoader(part, batch_size=20, seed=0, workers=workers) as loader:
            loaded.append(torch.cat([batch.images for batch in loader.iterate(2)]))
    assert torch.equal(*loaded)


def test_a_policy_for_other_than_grey_or_colour_is_refused():
    toy = toy_data()
    two = ImageDataset("two", toy.train, None, toy.augment, toy.normalize, (2, 4, 4), ("a", "b"))
    with pytest.raises(UsageError, match="those of two have 2 channels"):
        augmentation(TrainingRecipe(auto_augment="original"), two)
