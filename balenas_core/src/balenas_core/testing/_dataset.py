"""Checks of data sets."""

from __future__ import annotations

import pickle
import random
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from balenas_core.data import BatchLoader, held_out_part, split
from balenas_core.errors import BalenasError
from balenas_core.interfaces.dataset import ImageDataset, Images, Transform
from balenas_core.random import seeded
from balenas_core.testing._module_state import same
from balenas_core.testing._plugin import PluginConformance

_LOOKED_AT = 48
_LARGEST = 50.0
_MOST_ALIKE = 0.5
_ROUND_OFF = 2e-2
_DRAWS = 6


class DatasetConformance(PluginConformance):
    """A dataset's images, labels and transforms agree with what it declares, in both parts."""

    kind = "dataset"
    base = ImageDataset
    may_draw: ClassVar[bool] = True  # the augmentation draws from what the loader seeds

    def dataset(self) -> ImageDataset:
        """Load the data set."""
        dataset: ImageDataset = self.build()
        return dataset

    def use(self) -> None:
        """Read and transform some images."""
        dataset = self.dataset()
        for part in filter(None, (dataset.train, dataset.test)):
            with seeded(0):
                dataset.augment(part[0])
            dataset.normalize(part[len(part) - 1])

    def test_it_says_what_it_is(self) -> None:
        dataset = self.dataset()
        assert dataset.name, "give the data set a name, for messages and results"
        assert dataset.name.isprintable(), f"the name must be one line; got {dataset.name!r}"
        assert not isinstance(dataset.class_names, str), (
            f"class_names must be a list of texts, one for each class; got {dataset.class_names!r}"
        )
        names = list(dataset.class_names)
        assert len(names) >= 2, f"there must be two classes at least; got {names}"
        assert all(isinstance(name, str) and name for name in names), f"class names: {names}"
        assert len(set(names)) == len(names), f"class names repeat: {names}"
        shape = dataset.input_shape
        assert isinstance(shape, tuple), f"input_shape must be a tuple; got {shape!r}"
        assert len(shape) == 3, f"input_shape is (channels, height, width); got {shape}"
        assert all(isinstance(n, int) and n > 0 for n in shape), f"input_shape is {shape}"
        assert 0 < dataset.crop <= 1, f"crop must lie in (0, 1]; got {dataset.crop}"
        if dataset.statistics is not None:
            mean, deviation = dataset.statistics
            assert len(mean) == len(deviation) == shape[0], (
                f"statistics need a number for each of {shape[0]} channels; got "
                f"{dataset.statistics}"
            )
            assert all(0 <= m <= 1 for m in mean), f"means are of pixels in 0..1; got {mean}"
            assert all(0 < d <= 1 for d in deviation), (
                f"standard deviations are of pixels in 0..1; got {deviation}"
            )

    def test_images_and_labels_are_as_declared(self) -> None:
        dataset = self.dataset()
        for name, part in _parts(dataset):
            labels = part.labels
            assert isinstance(labels, np.ndarray), f"{name}.labels must be an array; got {labels!r}"
            assert labels.dtype == np.int64, f"{name}.labels must be int64; got {labels.dtype}"
            assert labels.ndim == 1, f"{name}.labels must be a row; got {labels.shape}"
            assert len(part) == len(labels), (
                f"{name} has {len(part)} images, and {len(labels)} labels"
            )
            assert len(part) > 0, f"{name} is empty; say None where there is no test part"
            low, high = int(labels.min()), int(labels.max())
            assert low >= 0, f"{name}.labels begin at {low}; number classes from 0"
            assert high < dataset.num_classes, (
                f"{name}.labels go to {high}, but there are {dataset.num_classes} class names"
            )
            assert np.array_equal(part.labels, labels), f"{name}.labels change from look to look"
        missing = set(range(dataset.num_classes)) - set(dataset.train.labels.tolist())
        assert not missing, f"no training image is of the classes {sorted(missing)[:5]}"

    def test_images_are_bytes_and_the_same_at_every_look(self) -> None:
        dataset = self.dataset()
        for name, part in _parts(dataset):
            for index in _some(part):
                image = part[index]
                assert isinstance(image, Tensor), f"{name}[{index}] must be a tensor; got {image!r}"
                assert image.dtype == torch.uint8, (
                    f"{name}[{index}] must be uint8, 0..255; got {image.dtype}. The transforms "
                    f"make floats"
                )
                assert image.dim() == 3, (
                    f"{name}[{index}] must be channels x height x width; got {tuple(image.shape)}"
                )
                assert image.shape[0] == dataset.input_shape[0], (
                    f"{name}[{index}] has {image.shape[0]} channels first; input_shape is "
                    f"{dataset.input_shape}"
                )
                assert same(part[index], image), f"{name}[{index}] is another image at each look"
            looks = {part[index].numpy().tobytes() for index in _some(part)}
            assert len(looks) > 1 or len(part) == 1, f"all images of {name} are one and the same"
            for index in (len(part), len(part) + 7):
                try:
                    part[index]
                except IndexError:
                    continue
                raise AssertionError(f"{name}[{index}] must raise IndexError: it has {len(part)}")

    def test_transforms_give_the_declared_shape(self) -> None:
        dataset = self.dataset()
        for name, part in _parts(dataset):
            for what, transform in _transforms(dataset):
                for index in _few(part):
                    image = part[index]
                    before = image.clone()
                    with seeded(0):
                        made = transform(image)
                    assert isinstance(made, Tensor), f"{what} must return a tensor; got {made!r}"
                    assert tuple(made.shape) == dataset.input_shape, (
                        f"{what}({name}[{index}]) is {tuple(made.shape)}; input_shape is "
                        f"{dataset.input_shape}"
                    )
                    assert made.dtype == torch.float32, f"{what} must return float32: {made.dtype}"
                    assert made.isfinite().all(), f"{what}({name}[{index}]) is not finite"
                    assert same(image, before), f"{what} changes its image; work on a copy"
                    assert made.abs().max() <= _LARGEST, (
                        f"{what} gives values to {made.abs().max().item():.0f}: divide by 255, "
                        f"and standardise by mean and deviation"
                    )

    def test_normalisation_is_deterministic(self) -> None:
        dataset = self.dataset()
        for _, part in _parts(dataset):
            for index in _few(part):
                image = part[index]
                looks = []
                for seed in (1, 2):
                    with seeded(seed):
                        looks.append(dataset.normalize(image))
                assert torch.equal(*looks), (
                    "normalize must draw nothing: it is for validation and test images"
                )

    def test_augmentation_draws_from_torchs_generator_alone(self) -> None:
        dataset = self.dataset()
        for index in _few(dataset.train):
            image = dataset.train[index]
            looks = []
            for noise in range(_DRAWS):
                np.random.seed(noise)  # noqa: NPY002 (what it must not draw from)
                random.seed(noise)
                with seeded(0):
                    looks.append(dataset.augment(image))
            assert all(torch.equal(look, looks[0]) for look in looks), (
                "augment must draw from torch's global generator alone, which the loader seeds for "
                "each image; not from numpy's or Python's"
            )

    def test_both_transforms_standardise_alike(self) -> None:
        dataset = self.dataset()
        images = [dataset.train[index] for index in _some(dataset.train)]
        with seeded(0):
            augmented = torch.stack([dataset.augment(image) for image in images])
        plain = torch.stack([dataset.normalize(image) for image in images])
        scale = plain.std().item()
        assert scale > 0, "normalize makes every image the same"
        assert 0.3 < augmented.std().item() / scale < 3, (
            f"augmented images have the standard deviation {augmented.std():.3g}, others "
            f"{scale:.3g}: let augment end as normalize does"
        )
        shift = abs(augmented.mean().item() - plain.mean().item())
        assert shift < 1.5 * scale, (
            f"augmented images have the mean {augmented.mean():.3g}, others {plain.mean():.3g}: "
            f"let augment end as normalize does"
        )

    def test_statistics_are_those_of_the_transform(self) -> None:
        dataset = self.dataset()
        if dataset.statistics is None or dataset.crop != 1:
            return
        mean, deviation = (torch.tensor(values)[:, None, None] for values in dataset.statistics)
        for index in _few(dataset.train):
            image = dataset.train[index]
            if tuple(image.shape) != dataset.input_shape:
                continue
            expected = (image / 255 - mean) / deviation
            difference = (dataset.normalize(image) - expected).abs().max().item()
            assert difference < _ROUND_OFF, (
                f"normalize is not (image / 255 - mean) / deviation with the declared statistics; "
                f"they differ by {difference:.3g}. Declare those that it uses, or None"
            )

    def test_test_images_are_no_training_images(self) -> None:
        dataset = self.dataset()
        if dataset.test is None:
            return
        seen = {_bytes(dataset.train[index]) for index in range(min(len(dataset.train), 4000))}
        asked = range(min(len(dataset.test), 400))
        known = sum(_bytes(dataset.test[index]) in seen for index in asked)
        assert known <= _MOST_ALIKE * len(asked), (
            f"{known} of {len(asked)} test images are training images: keep the parts apart"
        )

    def test_a_search_can_divide_and_load_it(self) -> None:
        dataset = self.dataset()
        try:
            halves = split(dataset, 0.5, seed=0)
            parts = [halves.train, halves.validation]
            if dataset.test is not None:
                parts.append(held_out_part(dataset))
        except BalenasError as error:
            raise AssertionError(f"a search cannot divide it: {error}") from error
        for part in parts:
            batch = next(BatchLoader(part, batch_size=min(4, len(part)), seed=0).iterate(0))
            assert tuple(batch.images.shape[1:]) == dataset.input_shape, (
                f"a batch of {part.name} is {tuple(batch.images.shape)}"
            )

    def test_it_goes_to_worker_processes(self) -> None:
        dataset = self.dataset()
        parts: tuple[Any, ...] = (dataset.train, dataset.test, dataset.augment, dataset.normalize)
        for part in parts:
            try:
                sent = pickle.loads(pickle.dumps(part))
            except (pickle.PicklingError, AttributeError, TypeError) as error:
                raise AssertionError(
                    f"training.workers sends images and transforms to processes: define {part!r} "
                    f"at the top of a module, with no open file in it ({error})"
                ) from error
            is_source = part is not None and part in (dataset.train, dataset.test)
            for index in _few(part) if is_source else ():
                assert same(sent[index], part[index]), (
                    f"image {index} is another image in a worker process; let pickling keep what "
                    f"images are made of"
                )

    def test_loading_draws_from_no_global_generator(self) -> None:
        looks = []
        for seed in (1, 2):
            with seeded(seed):
                torch.rand(seed)
                before = torch.get_rng_state()
                dataset = self.dataset()
                assert torch.equal(torch.get_rng_state(), before), (
                    "loading the data set moves or seeds torch's global generator, by which a "
                    "search makes its networks; give random_split and the like a torch.Generator "
                    "with a seed of its own"
                )
            looks.append(dataset)
        first, again = looks
        for (name, part), (_, other) in zip(_parts(first), _parts(again), strict=True):
            assert np.array_equal(part.labels, other.labels), (
                f"a second load is another data set: {name} has other labels. A search that goes "
                f"on would have other images"
            )
            assert all(same(part[index], other[index]) for index in _few(part)), (
                f"a second load is another data set: images of {name} differ. A search that goes "
                f"on would have other images"
            )


def _parts(dataset: ImageDataset) -> list[tuple[str, Images]]:
    parts = [("train", dataset.train)]
    return parts if dataset.test is None else [*parts, ("test", dataset.test)]


def _transforms(dataset: ImageDataset) -> list[tuple[str, Transform]]:
    return [("augment", dataset.augment), ("normalize", dataset.normalize)]


def _some(part: Images) -> list[int]:
    """Return some positions, the first and the last among them."""
    step = 1 + len(part) // _LOOKED_AT
    return sorted({*range(0, len(part), step), len(part) - 1})


def _few(part: Images) -> list[int]:
    """Return up to nine of these positions, the first and the last among them."""
    some = _some(part)
    return sorted({*some[:: 1 + len(some) // 8], some[-1]})


def _bytes(image: Tensor) -> bytes:
    content: bytes = image.contiguous().numpy().tobytes()
    return content
