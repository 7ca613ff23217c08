"""Mistakes of data sets, planted one at a time: the kit finds each and says what to mend."""

from __future__ import annotations

import random
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from planted import assert_found, faults, held_against

from balenas_core.interfaces.dataset import ImageDataset
from balenas_core.testing import DatasetConformance

KIT = DatasetConformance
LOADED: list[int] = []


class Images:
    """Noise, brighter for class 1; made when it is read."""

    def __init__(self, count, seed, start=0):
        self.labels = np.arange(count, dtype=np.int64) % 2
        self.seed, self.start = seed, start

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.image(index, int(self.labels[index]))

    def image(self, index, label):
        source = torch.Generator().manual_seed(1000 * self.seed + index + self.start)
        noise = torch.randint(128, (3, 6, 8), generator=source, dtype=torch.uint8)
        return noise + 100 * label


def normalize(image):
    return (image / 255 - 0.5) / 0.25


def augment(image):
    return normalize(image.flip(-1) if torch.rand(()) < 0.5 else image)


def load():
    return ImageDataset(
        "noise", Images(40, 0), Images(16, 1), augment, normalize, (3, 6, 8), ("dark", "bright"),
        ((0.5,) * 3, (0.25,) * 3),
    )  # fmt: skip


def having(**fields):
    """Return a loader of the good data set with other fields."""
    return lambda: replace(load(), **fields)


def labelled(labels, part="train"):
    """Return a loader of the good data set with other labels in a part."""

    class Labelled(Images):
        def __init__(self):
            super().__init__(40, 0)
            self.labels = labels(self.labels)

        def __getitem__(self, index):
            if not 0 <= index < 40:
                raise IndexError(index)
            return self.image(index, index % 2)

    return lambda: replace(load(), **{part: Labelled()})


def showing(change, part="train"):
    """Return a loader of the good data set whose images of a part are changed."""

    class Changed(Images):
        def __getitem__(self, index):
            return change(super().__getitem__(index), index)

    return lambda: replace(load(), **{part: Changed(40, 0) if part == "train" else Changed(16, 1)})


class Circular(Images):
    def __getitem__(self, index):
        return super().__getitem__(index % len(self))


class OpenFile(Images):
    def __init__(self, count, seed):
        super().__init__(count, seed)
        self.file = open(__file__, "rb")  # noqa: SIM115 (it is the mistake)

    def __del__(self):
        self.file.close()


class LostWhenSent(Images):
    def __setstate__(self, state):
        self.__dict__ = {**state, "start": 500}


class Shuffled(Images):
    def __init__(self, count, seed):
        super().__init__(count, seed)
        self.drawn = np.arange(count, dtype=np.int64) % 2

    @property
    def labels(self):
        return np.random.permutation(self.drawn)  # noqa: NPY002 (it is the mistake)

    @labels.setter
    def labels(self, labels):
        pass


def in_place(image):
    image.clamp_(max=99)
    return normalize(image)


def with_numpy(image):
    return normalize(image.flip(-1) if np.random.rand() < 0.5 else image)  # noqa: NPY002


def with_python(image):
    return normalize(image.flip(-1) if random.random() < 0.5 else image)


def noisy(image):
    return normalize(image) + torch.randn(3, 6, 8)


def only_even(image):
    if image.float().mean() > 128:
        return normalize(image).double()
    return normalize(image)


def printing(image):
    sys.stdout.write(str(image.shape))
    return normalize(image)


def blank(image):
    return normalize(image) * float("nan")


def standardized(image):
    return (image - image.float().mean()) / image.float().std()


def before_loading(body):
    """Return a loader that does something before."""

    def planted():
        body()
        return load()

    return planted


def split_at_random():
    order = torch.randperm(40)[:20] * 2
    train = Images(20, 0, int(order[0]))
    return replace(load(), train=train)


def grows():
    LOADED.append(1)
    return replace(load(), train=Images(40 + 2 * len(LOADED), 0))


MISTAKES = {
    "labels of another type": (
        labelled(lambda labels: labels.astype(np.int32)),
        "test_images_and_labels_are_as_declared",
        "must be int64",
    ),
    "labels in a list": (
        labelled(lambda labels: labels.tolist()),
        "test_images_and_labels_are_as_declared",
        "must be an array",
    ),
    "one-hot labels": (
        labelled(lambda labels: np.eye(2, dtype=np.int64)[labels]),
        "test_images_and_labels_are_as_declared",
        "must be a row",
    ),
    "classes from 1": (
        labelled(lambda labels: labels + 1),
        "test_images_and_labels_are_as_declared",
        "labels go to 2",
    ),
    "negative labels": (
        labelled(lambda labels: labels - 1),
        "test_images_and_labels_are_as_declared",
        "number classes from 0",
    ),
    "a class without images": (
        having(class_names=("dark", "bright", "none")),
        "test_images_and_labels_are_as_declared",
        r"of the classes \[2\]",
    ),
    "fewer labels than images": (
        labelled(lambda labels: labels[:30]),
        "test_images_are_bytes_and_the_same_at_every_look",
        "IndexError",
    ),
    "labels that change": (
        having(train=Shuffled(40, 0)),
        "test_images_and_labels_are_as_declared",
        "change from look to look",
    ),
    "labels of the test part": (
        labelled(lambda labels: labels[:16] + 1, "test"),
        "test_images_and_labels_are_as_declared",
        "test.labels go to 2",
    ),
    "an empty test part": (
        having(test=Images(0, 1)),
        "test_images_and_labels_are_as_declared",
        "say None where there is no test part",
    ),
    "floats": (
        showing(lambda image, index: image / 255),
        "test_images_are_bytes_and_the_same_at_every_look",
        "must be uint8",
    ),
    "floats in the test part": (
        showing(lambda image, index: image / 255, "test"),
        "test_images_are_bytes_and_the_same_at_every_look",
        r"test\[0\] must be uint8",
    ),
    "arrays": (
        showing(lambda image, index: image.numpy()),
        "test_images_are_bytes_and_the_same_at_every_look",
        "must be a tensor",
    ),
    "channels last": (
        showing(lambda image, index: image.permute(1, 2, 0)),
        "test_images_are_bytes_and_the_same_at_every_look",
        "channels first",
    ),
    "a grey image among coloured ones": (
        showing(lambda image, index: image[:1] if index == 1 else image, "test"),
        "test_images_are_bytes_and_the_same_at_every_look",
        "channels first",
    ),
    "one image of another size": (
        showing(lambda image, index: image[:, :, :5] if index == 15 else image, "test"),
        "test_transforms_give_the_declared_shape",
        r"test\[15\].*input_shape",
    ),
    "one image for all": (
        showing(lambda image, index: torch.zeros_like(image)),
        "test_images_are_bytes_and_the_same_at_every_look",
        "one and the same",
    ),
    "augmented where it is read": (
        showing(lambda image, index: image.roll(int(torch.randint(8, ())), -1)),
        "test_images_are_bytes_and_the_same_at_every_look",
        "another image at each look",
    ),
    "no end": (
        having(train=Circular(40, 0)),
        "test_images_are_bytes_and_the_same_at_every_look",
        "must raise IndexError",
    ),
    "the test part is the training part": (
        having(test=Images(16, 0)),
        "test_test_images_are_no_training_images",
        "keep the parts apart",
    ),
    "changed in place": (
        having(augment=in_place), "test_transforms_give_the_declared_shape", "work on a copy",
    ),
    "not divided by 255": (
        having(normalize=lambda image: image.float() - 128, augment=lambda i: i.float() - 128),
        "test_transforms_give_the_declared_shape",
        "divide by 255",
    ),
    "only augmentation standardises": (
        having(normalize=lambda image: image / 255),
        "test_both_transforms_standardise_alike",
        "end as normalize does",
    ),
    "bytes out of a transform": (
        having(normalize=lambda image: image),
        "test_transforms_give_the_declared_shape",
        "must return float32",
    ),
    "double precision for bright images": (
        having(normalize=only_even),
        "test_transforms_give_the_declared_shape",
        "must return float32",
    ),
    "NaN": (having(normalize=blank), "test_transforms_give_the_declared_shape", "not finite"),
    "crops of another size": (
        having(augment=lambda image: normalize(image)[:, :5]),
        "test_transforms_give_the_declared_shape",
        "input_shape is",
    ),
    "validation images at random": (
        having(normalize=noisy), "test_normalisation_is_deterministic", "must draw nothing",
    ),
    "numpy's random numbers": (
        having(augment=with_numpy),
        "test_augmentation_draws_from_torchs_generator_alone",
        "not from numpy's",
    ),
    "Python's random numbers": (
        having(augment=with_python),
        "test_augmentation_draws_from_torchs_generator_alone",
        "not from numpy's or Python's",
    ),
    "statistics that are not used": (
        having(statistics=((0.4,) * 3, (0.25,) * 3)),
        "test_statistics_are_those_of_the_transform",
        "Declare those that it uses",
    ),
    "each image standardised by itself": (
        having(normalize=standardized, augment=standardized),
        "test_statistics_are_those_of_the_transform",
        "or None",
    ),
    "statistics of bytes": (
        having(statistics=((127.0,) * 3, (60.0,) * 3)), "test_it_says_what_it_is", "pixels in 0..1",
    ),
    "statistics of one channel": (
        having(statistics=((0.5,), (0.25,))), "test_it_says_what_it_is", "each of 3 channels",
    ),
    "height before channels": (
        having(input_shape=(6, 8, 3)), "test_transforms_give_the_declared_shape", "input_shape is",
    ),
    "a shape in a list": (having(input_shape=[3, 6, 8]), "test_it_says_what_it_is", "a tuple"),
    "one class": (having(class_names=("all",)), "test_it_says_what_it_is", "two classes"),
    "a class twice": (having(class_names=("a", "a")), "test_it_says_what_it_is", "repeat"),
    "numbers for class names": (having(class_names=(0, 1)), "test_it_says_what_it_is", "names"),
    "one text for class names": (having(class_names="ab"), "test_it_says_what_it_is", "list of"),
    "no name": (having(name=""), "test_it_says_what_it_is", "give the data set a name"),
    "a part of a crop": (having(crop=87.5), "test_it_says_what_it_is", r"\(0, 1\]"),
    "a function inside of a function": (
        having(augment=lambda image: augment(image)),
        "test_it_goes_to_worker_processes",
        "top of a module",
    ),
    "an open file": (
        lambda: replace(load(), train=OpenFile(40, 0)),
        "test_it_goes_to_worker_processes",
        "no open file",
    ),
    "other images in worker processes": (
        having(train=LostWhenSent(40, 0)), "test_it_goes_to_worker_processes", "another image",
    ),
    "seeds torch": (
        before_loading(lambda: torch.manual_seed(0)),
        "test_loading_draws_from_no_global_generator",
        "random_split|torch.Generator",
    ),
    "parts drawn at random": (
        split_at_random, "test_loading_draws_from_no_global_generator", "torch.Generator",
    ),
    "more at every load": (
        grows, "test_loading_draws_from_no_global_generator", "another data set",
    ),
    "seeds numpy": (
        before_loading(lambda: np.random.seed(0)),  # noqa: NPY002
        "test_leaves_the_process_as_it_was",
        "numpy's global random numbers",
    ),
    "prints": (having(normalize=printing), "test_leaves_the_process_as_it_was", "print"),
    "threads": (
        before_loading(lambda: torch.set_num_threads(3)), "test_it_says_what_it_is", "threads",
    ),
    "images and labels alone": (
        lambda: (Images(40, 0), Images(16, 1)), "test_it_says_what_it_is", "ImageDataset",
    ),
}  # fmt: skip


def test_a_good_data_set_passes(tmp_path):
    assert faults(held_against(KIT, load), tmp_path) == {}


def test_a_good_data_set_without_a_test_part_passes(tmp_path):
    assert faults(held_against(KIT, having(test=None)), tmp_path) == {}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_and_explained(mistake, tmp_path):
    LOADED.clear()
    implementation, *expected = MISTAKES[mistake]
    assert_found(held_against(KIT, implementation), *expected, tmp_path)
