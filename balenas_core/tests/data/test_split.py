from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from balenas_core.data import held_out_part, split, training_part
from balenas_core.data._split import stratified
from balenas_core.errors import DataError

counts = st.lists(st.integers(2, 30), min_size=2, max_size=6)
fractions = st.floats(0.02, 0.98)


def _labels(class_counts):
    return np.repeat(np.arange(len(class_counts)), class_counts)


@given(counts, fractions, st.integers(0, 2**62))
def test_parts_are_disjoint_and_cover_everything(class_counts, fraction, seed):
    labels = _labels(class_counts)
    rest, chosen = stratified(labels, fraction, seed=seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([rest, chosen])), np.arange(len(labels)))


@given(counts, fractions, st.integers(0, 2**62))
def test_every_class_is_within_one_image_of_its_share_and_in_both_parts(
    class_counts, fraction, seed
):
    labels = _labels(class_counts)
    rest, chosen = stratified(labels, fraction, seed=seed)
    got = np.bincount(labels[chosen], minlength=len(class_counts))
    assert np.all(np.abs(got - np.array(class_counts) * fraction) < 1)
    assert np.all(got >= 1)
    assert np.all(np.bincount(labels[rest], minlength=len(class_counts)) >= 1)


def test_half_of_cifar_is_2500_images_of_each_class():
    labels = np.tile(np.arange(10), 5000)
    _, chosen = stratified(labels, 0.5, seed=0)
    np.testing.assert_array_equal(np.bincount(labels[chosen]), [2500] * 10)


def test_the_part_has_the_rounded_size_when_no_class_is_rare():
    labels = _labels([7, 9, 11])
    _, chosen = stratified(labels, 0.3, seed=0)
    assert len(chosen) == round(27 * 0.3)


def test_same_seed_same_split_and_other_seed_another(make_dataset):
    dataset = make_dataset(_labels([20, 20]))
    first, again, other = (split(dataset, 0.5, seed=s).validation.indices for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_splitting_leaves_the_global_generators_alone(make_dataset):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    split(make_dataset(_labels([5, 5])), 0.5, seed=0)
    assert torch.equal(before[0], torch.get_rng_state())
    np.testing.assert_array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002


def test_training_is_augmented_and_validation_is_not(make_dataset):
    dataset = make_dataset(_labels([5, 5]), augment=torch.zeros_like)
    parts = split(dataset, 0.5, seed=0)
    assert parts.train.transform is dataset.augment
    assert parts.validation.transform is dataset.normalize
    assert training_part(dataset).transform is dataset.augment
    assert len(training_part(dataset)) == 10


def test_labels_of_a_part_are_those_of_its_images(make_dataset):
    dataset = make_dataset([0, 1, 0, 1, 1, 0])
    part = split(dataset, 0.5, seed=0).train
    np.testing.assert_array_equal(part.labels, dataset.train.labels[part.indices])


def test_held_out_images_are_all_of_the_test_source(make_dataset):
    dataset = make_dataset(_labels([5, 5]), test_labels=[0, 1, 1])
    part = held_out_part(dataset)
    np.testing.assert_array_equal(part.labels, [0, 1, 1])
    assert part.transform is dataset.normalize


def test_a_dataset_without_test_images_says_so(make_dataset):
    with pytest.raises(DataError, match="made has no test images; use a dataset with a test part"):
        held_out_part(make_dataset([0, 0, 1, 1]))


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5])
def test_fractions_outside_0_to_1_are_refused(make_dataset, fraction):
    with pytest.raises(ValueError, match=rf"must be in \(0, 1\); got {fraction}"):
        split(make_dataset([0, 0, 1, 1]), fraction, seed=0)


def test_a_class_of_one_image_cannot_be_split(make_dataset):
    with pytest.raises(DataError, match=r"class 1 \(class1\) has one training image"):
        split(make_dataset([0, 0, 0, 1]), 0.5, seed=0)


def test_a_part_smaller_than_a_batch_names_the_largest_batch_that_fits(make_dataset):
    with pytest.raises(
        DataError, match=r"made \(validation\) would have 4 of 20 images, fewer than a batch of 5"
    ) as caught:
        split(make_dataset(_labels([10, 10])), 0.2, seed=0, batch_size=5)
    assert "Set training.batch_size to at most 4" in str(caught.value)
