"""What becomes of processes that load images, and of the signals that reach them."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from balenas_core.data import BatchLoader
from balenas_core.errors import BalenasError


def noisy(image):
    return image.float() + torch.rand(image.shape)


def dies(image):
    if torch.utils.data.get_worker_info() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    return image.float()


def stuck(image):
    time.sleep(600)
    return image.float()


def disconnects(image):
    raise ConnectionError("a server of images")


def _same(first, second):
    first, second = list(first), list(second)
    assert len(first) == len(second) > 0
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.labels, b.labels)


def _loader(part, **changes):
    return BatchLoader(part, **{"batch_size": 4, "seed": 0} | changes)


def test_a_worker_that_dies_is_reported_with_what_to_change(make_part):
    loader = _loader(make_part(8, dies), workers=1)
    with pytest.raises(
        BalenasError, match=r"a process that loads made died .*training\.workers lower \(now 1\)"
    ) as caught:
        list(loader.iterate(0))
    assert caught.value.exit_code == 1


def _worker():
    (worker,) = multiprocessing.active_children()
    return worker


def _signalled_by_another(pid, number):
    """Send a signal as a batch system does: not as the worker's parent."""
    subprocess.run([sys.executable, "-c", f"import os; os.kill({pid}, {number})"], check=True)


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="needs sigwaitinfo")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_workers_live_on_when_their_whole_group_is_told_to_stop(make_part, number):
    part = make_part(40, noisy)
    with _loader(part, workers=1) as loader:
        batches = loader.iterate(0)
        first = next(batches)
        _signalled_by_another(_worker().pid, number)
        _same([first, *batches], _loader(part).iterate(0))


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="needs sigwaitinfo")
def test_a_worker_that_is_stuck_follows_its_parent(make_part):
    loader = _loader(make_part(8, stuck), workers=1)
    loader.iterate(0)
    worker = _worker()
    worker.terminate()
    worker.join(timeout=30)
    assert worker.exitcode == 0
    loader.close()


def test_a_worker_that_dies_raises_in_nothing_but_the_next_batch(make_part):
    loader = _loader(make_part(400), workers=1)
    batches = loader.iterate(0)
    next(batches)
    worker = _worker()
    worker.kill()
    # torch's own handler would raise here, whatever this process is at.
    worker.join(timeout=30)
    assert worker.exitcode == -signal.SIGKILL
    with pytest.raises(BalenasError, match="a process that loads made died"):
        list(batches)


@pytest.mark.parametrize("error", [ConnectionResetError(errno.ECONNRESET, "reset"), EOFError()])
def test_a_worker_that_dies_before_its_batch_is_fetched_is_said(make_part, monkeypatch, error):
    loader = _loader(make_part(40), workers=1)
    batches = loader.iterate(0)

    def lost(self):
        raise error

    monkeypatch.setattr(type(loader._iterator), "__next__", lost)
    with pytest.raises(BalenasError, match="a process that loads made died"):
        next(batches)


def test_a_broken_connection_of_a_data_set_itself_stays_what_it_is(make_part):
    with (
        _loader(make_part(8, disconnects), workers=1) as loader,
        pytest.raises(ConnectionError, match="a server of images"),
    ):
        list(loader.iterate(0))


def test_a_worker_that_cannot_be_started_is_said_with_what_to_change(make_part, monkeypatch):
    def refuse():
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr("os.fork", refuse)
    loader = _loader(make_part(8), workers=1)
    with pytest.raises(
        BalenasError, match=r"a process that loads made cannot be started .*lower \(now 1\)"
    ):
        loader.iterate(0)


def test_the_signals_of_this_process_are_left_as_they_are(make_part):
    def now():
        return signal.getsignal(signal.SIGCHLD), signal.pthread_sigmask(signal.SIG_BLOCK, ())

    before = now()
    with _loader(make_part(8), workers=1) as loader:
        list(loader.iterate(0))
        assert now() == before
