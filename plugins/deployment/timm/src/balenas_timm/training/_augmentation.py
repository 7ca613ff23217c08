"""Augmentation of single images and of batches, by timm's parts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from PIL import Image
from timm.data import Mixup
from timm.data.auto_augment import (
    augment_and_mix_transform,
    auto_augment_transform,
    rand_augment_transform,
)
from timm.data.random_erasing import RandomErasing
from torch import Tensor
from torchvision.transforms.functional import (  # type: ignore[import-untyped]
    pil_to_tensor,
    to_pil_image,
)

from balenas_core.data import cut_out
from balenas_core.errors import UsageError
from balenas_core.interfaces.dataset import ImageDataset, Transform
from balenas_timm.recipes import TrainingRecipe
from balenas_timm.training._random import seeded_like_torch

_POLICIES: dict[str, Callable[..., Any]] = {
    "rand": rand_augment_transform,
    "augmix": augment_and_mix_transform,
}


class Augmentation:
    """A policy such as RandAugment, the data set's own augmentation, cutout, random erasing.

    In this order: the policy works on pixels, so that it comes before the crops and mirroring of
    the data set, which end in its normalisation; the masks come after it, and mask with the mean.

    Args:
        recipe: Says which of them there are.
        inner: The data set's augmentation.

    References:
        Cubuk et al. 2019, "AutoAugment", CVPR; 2020, "RandAugment"; Hendrycks et al. 2020,
        "AugMix", ICLR. Deviations: the policy is the first instead of the last step on pixels;
        AugMix is without the consistency loss.
    """

    def __init__(self, recipe: TrainingRecipe, inner: Transform) -> None:
        self._policy = _policy(recipe.auto_augment) if recipe.auto_augment else None
        self._inner = inner
        self._cutout = recipe.cutout
        self._erase = (
            RandomErasing(recipe.erasing, mode=recipe.erasing_mode, device="cpu")  # type: ignore[no-untyped-call]
            if recipe.erasing
            else None
        )
        self._uses_other_generators = self._policy is not None or self._erase is not None

    def __call__(self, image: Tensor) -> Tensor:
        """Return the float training view of a uint8 image."""
        with seeded_like_torch() if self._uses_other_generators else nullcontext():
            if self._policy is not None:
                image = _on_pil(self._policy, image)
            image = self._inner(image)
            if self._cutout:
                image = cut_out(image, self._cutout)
            if self._erase is not None:
                image = self._erase(image)
        return image


def augmentation(recipe: TrainingRecipe, dataset: ImageDataset) -> Transform:
    """Return the transform of training images.

    Raises:
        UsageError: timm has no such policy, it does not work on such images, or the masked
            square is as large as the image.
    """
    channels, height, width = dataset.input_shape
    if recipe.auto_augment is not None and channels not in (1, 3):
        raise UsageError(
            f"training.auto_augment works on grey and colour images, and those of {dataset.name} "
            f"have {channels} channels; set it to null."
        )
    if recipe.cutout >= min(height, width):
        raise UsageError(
            f"training.cutout must be less than the shorter side of the images of {dataset.name}, "
            f"{min(height, width)} pixels (got {recipe.cutout}); set it with --set training.cutout."
        )
    return Augmentation(recipe, dataset.augment)


def mixing(recipe: TrainingRecipe, num_classes: int) -> Mixup | None:
    """Return timm's mixup and CutMix; None where the recipe has neither."""
    if not recipe.mixes:
        return None
    return Mixup(  # type: ignore[no-untyped-call]
        recipe.mixup,
        recipe.cutmix,
        prob=recipe.mixup_prob,
        switch_prob=recipe.mixup_switch,
        mode=recipe.mixup_mode,
        label_smoothing=recipe.label_smoothing,
        num_classes=num_classes,
    )


def mixed(mix: Mixup, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return mixed images and `batch x classes`-dim targets; draws from torch's generator.

    Args:
        mix: As ``mixing`` makes it.
        images: `batch x channels x height x width`-dim tensor, of an even batch; it is changed.
        labels: `batch` class numbers.
    """
    with seeded_like_torch():
        pair: tuple[Tensor, Tensor] = mix(images, labels)
    return pair


def _policy(text: str) -> Callable[[Image.Image], Image.Image]:
    make: Callable[..., Any] = _POLICIES.get(text.partition("-")[0], auto_augment_transform)
    try:
        policy: Callable[[Image.Image], Image.Image] = make(text)
    except (AssertionError, KeyError, ValueError) as error:
        reason = f" ({error})" if str(error) else ""
        raise UsageError(
            f"training.auto_augment: timm cannot read {text!r}{reason}; write it like original, "
            f"v0-mstd0.5, rand-m9-mstd0.5 or augmix-m3-w3."
        ) from error
    return policy


def _on_pil(policy: Callable[[Image.Image], Image.Image], image: Tensor) -> Tensor:
    # timm fills with a colour, which a grey image refuses.
    picture = to_pil_image(image)
    changed = policy(picture.convert("RGB")).convert(picture.mode)
    pixels: Tensor = pil_to_tensor(changed)
    return pixels.to(torch.uint8)
