"""Images that are transformed where they are used."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from balenas_core.data import BatchLoader, DigitsOptions, digits, training_part


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_transforms_of_the_main_process_are_those_of_the_loading_one(workers):
    part = training_part(digits.load_implementation()(DigitsOptions()))
    settings = {"batch_size": 50, "seed": 3, "workers": workers}
    device = torch.device("cpu")
    with (
        BatchLoader(part, **settings) as here,
        BatchLoader(part, **settings, transform_on=device) as there,
    ):
        for one, other, _ in zip(here.iterate(1), there.iterate(1), range(3), strict=False):
            assert_close(other.images, one.images, rtol=0, atol=0)
            assert torch.equal(other.labels, one.labels)


def test_whole_batches_are_shared_out_in_turn():
    part = training_part(digits.load_implementation()(DigitsOptions()))
    settings = {"batch_size": 500, "seed": 0, "shuffle": False, "drop_last": False}
    whole = [batch.labels for batch in BatchLoader(part, **settings).iterate(0)]
    shares = [
        [
            batch.labels
            for batch in BatchLoader(part, **settings, shard=(rank, 2), shards="batches").iterate(0)
        ]
        for rank in (0, 1)
    ]
    assert all(torch.equal(a, b) for a, b in zip(shares[0], whole[0::2], strict=True))
    assert all(torch.equal(a, b) for a, b in zip(shares[1], whole[1::2], strict=True))
