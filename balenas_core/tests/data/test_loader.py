from __future__ import annotations

import gc
import time
from itertools import islice

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from balenas_core.data import ArrayImages, BatchLoader, ImagePart
from balenas_core.errors import DataError


def noisy(image):
    return image.float() + torch.rand(image.shape)


def refuses(image):
    if int(image.max()) == 5:
        raise DataError("image 5 cannot be read. Remove it.")
    return image.float()


def breaks(image):
    raise RuntimeError("a bug in a transform")


def ragged(image):
    return image.float()[:, : 1 + int(image[0, 0, 0]) % 2]


def _same(first, second):
    first, second = list(first), list(second)
    assert len(first) == len(second) > 0
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.labels, b.labels)


def _loader(part, **changes):
    return BatchLoader(part, **{"batch_size": 4, "seed": 0} | changes)


def test_an_epoch_has_every_image_once(make_part):
    batches = list(_loader(make_part(10), drop_last=False).iterate(0))
    assert [len(b.labels) for b in batches] == [4, 4, 2]
    labels = torch.cat([b.labels for b in batches])
    assert labels.sort().values.tolist() == list(range(10))
    assert labels.dtype == torch.int64
    assert_close(torch.cat([b.images for b in batches])[:, 0, 0, 0], labels.float())


def test_drop_last_leaves_out_the_small_batch(make_part):
    loader = _loader(make_part(10))
    assert loader.steps_per_epoch == 2
    assert [len(b.labels) for b in loader.iterate(0)] == [4, 4]


def test_drop_last_keeps_a_last_batch_that_is_full(make_part):
    assert _loader(make_part(8)).steps_per_epoch == 2


def test_every_epoch_has_its_own_order(make_part):
    loader = _loader(make_part(12))
    first, second = (torch.cat([b.labels for b in loader.iterate(e)]) for e in (0, 1))
    assert not torch.equal(first, second)


def test_without_shuffling_the_order_is_that_of_the_part(make_part):
    loader = _loader(make_part(8), shuffle=False)
    assert torch.cat([b.labels for b in loader.iterate(3)]).tolist() == list(range(8))


def test_augmentation_differs_between_epochs_images_and_seeds(make_part):
    part = make_part(4, noisy)
    loader = _loader(part, shuffle=False)
    first, second = (next(loader.iterate(epoch)).images % 1 for epoch in (0, 1))
    other = next(_loader(part, shuffle=False, seed=1).iterate(0)).images % 1
    drawn = torch.cat([first, second, other]).flatten(1)
    assert len(drawn.unique(dim=0)) == 12


def test_augmentation_depends_on_the_image_not_on_its_place(make_part):
    part = make_part(8, noisy)
    shuffled, ordered = (
        {
            int(label): image
            for b in _loader(part, shuffle=s).iterate(2)
            for image, label in zip(b.images, b.labels, strict=True)
        }
        for s in (True, False)
    )
    assert shuffled.keys() == ordered.keys() == set(range(8))
    for label, image in shuffled.items():
        assert torch.equal(image, ordered[label])


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_do_not_depend_on_the_number_of_workers(make_part, workers):
    part = make_part(18, noisy)
    alone = _loader(part, drop_last=False)
    with _loader(part, drop_last=False, workers=workers) as loader:
        for epoch in (0, 1, 5):
            _same(loader.iterate(epoch), alone.iterate(epoch))
        _same(islice(loader.endless(7), 6), islice(alone.endless(7), 6))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("start", [0, 1, 3])
def test_resuming_in_the_middle_of_an_epoch_gives_the_remaining_batches(make_part, workers, start):
    part = make_part(16, noisy)
    whole = list(_loader(part).iterate(2))
    with _loader(part, workers=workers) as resumed:
        _same(resumed.iterate(2, start_step=start), whole[start:])


def test_resuming_at_the_end_gives_nothing(make_part):
    assert list(_loader(make_part(8)).iterate(0, start_step=2)) == []


def test_endless_batches_are_those_of_the_epochs_in_turn(make_part):
    part = make_part(10, noisy)
    loader = _loader(part)
    epochs = [batch for epoch in range(3) for batch in loader.iterate(epoch)]
    _same(islice(loader.endless(), 6), epochs)
    _same(islice(loader.endless(3), 3), epochs[3:])


@pytest.mark.parametrize("workers", [0, 1])
def test_the_global_generators_do_not_move(make_part, workers):
    torch_before = torch.get_rng_state()
    numpy_before = np.random.get_state()[1].copy()  # noqa: NPY002
    with _loader(make_part(8, noisy), workers=workers) as loader:
        for _ in loader.iterate(0):
            assert torch.equal(torch.get_rng_state(), torch_before)
        next(loader.endless())
    assert torch.equal(torch.get_rng_state(), torch_before)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


def test_the_global_generator_does_not_decide_anything(make_part):
    part = make_part(8, noisy)
    first = list(_loader(part).iterate(0))
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(12345)
        _same(_loader(part).iterate(0), first)


def test_the_global_generator_is_restored_when_a_transform_raises(make_part):
    before = torch.get_rng_state()
    with pytest.raises(DataError, match="image 5"):
        list(_loader(make_part(8, refuses)).iterate(0))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_one_message_also_from_a_worker(make_part, workers):
    with (
        _loader(make_part(8, refuses), workers=workers) as loader,
        pytest.raises(DataError) as caught,
    ):
        list(loader.iterate(0))
    assert str(caught.value) == "image 5 cannot be read. Remove it."


def test_a_bug_in_a_transform_stays_what_it_is(make_part):
    with (
        _loader(make_part(8, breaks), workers=1) as loader,
        pytest.raises(RuntimeError, match="a bug in a transform"),
    ):
        list(loader.iterate(0))


def test_images_of_different_shapes_are_refused(make_part):
    with pytest.raises(
        DataError, match=r"images of made differ in shape .*\(1, 1, 2\), \(1, 2, 2\)"
    ):
        list(_loader(make_part(8, ragged)).iterate(0))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_new_iteration_ends_the_one_before(make_part, workers):
    part = make_part(16, noisy)
    with _loader(part, workers=workers) as loader:
        old = loader.iterate(0)
        next(old)
        _same(loader.iterate(1), _loader(part).iterate(1))
        with pytest.raises(RuntimeError, match="ended by a later one"):
            next(old)


def _is_running(process):
    return process.is_alive()


def test_workers_persist_between_epochs_and_end_with_close(make_part):
    loader = _loader(make_part(8), workers=2)
    list(loader.iterate(0))
    workers = list(loader._iterator._workers)
    list(loader.iterate(1))
    assert [w.pid for w in loader._iterator._workers] == [w.pid for w in workers]
    assert all(map(_is_running, workers))
    loader.close()
    assert not any(map(_is_running, workers))


def test_workers_end_in_the_middle_of_an_iteration(make_part):
    loader = _loader(make_part(64), workers=2, batch_size=2)
    batches = loader.endless()
    next(batches)
    workers = list(loader._iterator._workers)
    loader.close()
    assert not any(map(_is_running, workers))
    with pytest.raises(RuntimeError, match=r"or by close\(\)"):
        next(batches)


def test_workers_end_with_the_loader(make_part):
    loader = _loader(make_part(8), workers=1)
    list(loader.iterate(0))
    workers = list(loader._iterator._workers)
    del loader
    gc.collect()
    assert not any(map(_is_running, workers))


def test_a_closed_loader_starts_again(make_part):
    loader = _loader(make_part(8, noisy), workers=1)
    first = list(loader.iterate(0))
    loader.close()
    _same(loader.iterate(0), first)
    loader.close()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch size must be at least 1; got 0"),
        ({"workers": -1}, "number of workers must be at least 0; got -1"),
    ],
)
def test_arguments_out_of_range_are_refused(make_part, changes, message):
    with pytest.raises(ValueError, match=message):
        _loader(make_part(8), **changes)


@pytest.mark.parametrize(("epoch", "start"), [(-1, 0), (0, -1), (0, 3)])
def test_steps_out_of_range_are_refused(make_part, epoch, start):
    with pytest.raises(ValueError, match=r"start_step in 0\.\.2"):
        _loader(make_part(8)).iterate(epoch, start)
    with pytest.raises(ValueError, match="start_step must be at least 0; got -1"):
        _loader(make_part(8)).endless(-1)


def test_fewer_images_than_a_batch_are_refused(make_part):
    with pytest.raises(DataError, match="made has 3 images, fewer than a batch of 4"):
        _loader(make_part(3))
    assert _loader(make_part(3), drop_last=False).steps_per_epoch == 1


def test_an_empty_part_is_refused():
    images = ArrayImages(torch.zeros(0, 1, 2, 2, dtype=torch.uint8), np.zeros(0, dtype=np.int64))
    part = ImagePart("made", images, np.zeros(0, dtype=np.int64), noisy)
    with pytest.raises(DataError, match="made has 0 images"):
        _loader(part, drop_last=False)


def test_a_batch_of_64_cifar_sized_images_takes_less_than_10_ms(make_dataset):
    from balenas_core.data import ArrayAugmentation, Normalization

    images = ArrayImages(torch.zeros(640, 3, 32, 32, dtype=torch.uint8), np.zeros(640, np.int64))
    augment = ArrayAugmentation(Normalization((0.5,) * 3, (0.2,) * 3), 4, True)
    loader = _loader(ImagePart("made", images, np.arange(640), augment), batch_size=64)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seconds = []
        for _ in range(3):
            start = time.process_time()
            list(loader.iterate(0))
            seconds.append(time.process_time() - start)
    finally:
        torch.set_num_threads(threads)
    assert min(seconds) / 10 < 0.010


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_share_each_batch_of_one_process(make_part, processes):
    part = make_part(10, noisy)
    whole = list(_loader(part, drop_last=False).iterate(1))
    shards = [
        list(_loader(part, drop_last=False, shard=(rank, processes)).iterate(1))
        for rank in range(processes)
    ]
    for step, batch in enumerate(whole):
        for rank, shard in enumerate(shards):
            if step < len(shard):
                assert torch.equal(shard[step].labels, batch.labels[rank::processes])
                assert torch.equal(shard[step].images, batch.images[rank::processes])
    # The last batch has two images: of three processes, one has none of it.
    assert [len(shard) for shard in shards] == ([3, 3] if processes == 2 else [3, 3, 2])
