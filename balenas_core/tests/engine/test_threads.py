"""With how many threads a search computes where nobody says so."""

import functools
import json

import pytest
import torch

from balenas_core import Search
from balenas_core.engine import device
from balenas_core.engine.device import cpu_threads, default_threads, usable_cores
from balenas_core.interfaces.events import EpochEnded
from balenas_core.testing import toy_config, toy_registry


@pytest.fixture
def registry():
    return toy_registry()


@pytest.fixture
def make(registry):
    return functools.partial(toy_config, registry)


@pytest.mark.parametrize(
    ("shape", "cores", "torchs", "expected"),
    [
        ((1, 8, 8), 16, 16, 1),
        ((3, 16, 16), 16, 16, 1),
        ((3, 32, 8), 16, 16, 1),
        ((3, 32, 32), 16, 16, 16),
        ((3, 32, 32), 16, 4, 4),
        ((3, 224, 224), 2, 16, 2),
    ],
)
def test_small_images_get_one_thread_and_others_the_cores_there_are(
    shape, cores, torchs, expected, monkeypatch
):
    monkeypatch.setattr(device, "usable_cores", lambda: cores)
    monkeypatch.setattr(torch, "get_num_threads", lambda: torchs)
    assert default_threads(shape) == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}, 8),
        ({"cpu.cfs_quota_us": "300000\n", "cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu.max": "garbage\n"}, 8),
        ({}, 8),
    ],
)
def test_the_quota_of_a_container_counts(files, expected, tmp_path, monkeypatch):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    quotas = (tmp_path / "cpu.max", tmp_path / "cpu.cfs_quota_us")
    monkeypatch.setattr(device, "_CGROUP_QUOTAS", quotas)
    monkeypatch.setattr(device.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert usable_cores() == expected


@pytest.mark.parametrize(("load", "is_told"), [(0.5, False), (6.0, True)])
def test_busy_cores_are_told_of_and_change_nothing(load, is_told, monkeypatch, caplog):
    monkeypatch.setattr(device, "usable_cores", lambda: 2)
    monkeypatch.setattr(device.os, "getloadavg", lambda: (load, load, load), raising=False)
    with cpu_threads(2):
        device.use_default_threads((3, 32, 32))
        assert torch.get_num_threads() == 2
    assert ("with --threads, can be faster" in caplog.text) == is_told


def _threads(registry, config, **how):
    seen = []
    Search(
        config,
        registry=registry,
        listeners=[
            lambda event: (
                seen.append(torch.get_num_threads()) if isinstance(event, EpochEnded) else None
            )
        ],
    ).run(**how)
    return set(seen)


def test_a_search_says_in_its_record_how_many_threads_it_has(registry, make, tmp_path):
    with cpu_threads(2):
        assert _threads(registry, make(output=tmp_path / "run")) == {1}
        assert torch.get_num_threads() == 2
    record = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert record["threads"] == 1


def test_what_goes_on_has_the_threads_that_it_began_with(registry, make, tmp_path):
    config = make(output=tmp_path / "run")
    stopped = Search(config, registry=registry)
    stopped._listeners.append(
        lambda event: stopped.request_stop() if isinstance(event, EpochEnded) else None
    )
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    path = tmp_path / "run" / "environment.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"threads": 2}))
    assert _threads(registry, config, resume="must") == {2}
