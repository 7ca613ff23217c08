"""What a run keeps of its distribution: written, cut back, read."""

from __future__ import annotations

import json

import pytest
import torch

from balenas_core import Search
from balenas_core.interfaces.space import Decision
from balenas_core.runs.distribution_log import (
    append_distribution,
    cut_distribution,
    read_distribution,
)

_DECISIONS = (Decision("cell", ("a", "b"), ("skip", "conv", "none")),)


def _append(path, epoch):
    row = torch.tensor([1 / 3, 1 / 3, 1 / 3]) if epoch % 2 else torch.tensor([0.0, 1.0, 0.0])
    append_distribution(path, epoch, _DECISIONS, {"cell": torch.stack([row, row])})


def test_a_history_is_read_back_with_its_names(tmp_path):
    path = tmp_path / "distribution.jsonl"
    for epoch in range(2):
        _append(path, epoch)
    (history,) = read_distribution(path)
    assert history.decision == "cell"
    assert (history.slots, history.choices) == (("a", "b"), ("skip", "conv", "none"))
    assert history.epochs == (0, 1)
    assert history.weights == ([[0.0, 1.0, 0.0]] * 2, [[0.333333] * 3] * 2)


@pytest.mark.parametrize("left", [b"", b'{"epoch":3,"wei', b'{"epoch":3}\n', b"[1]\n"])
@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_cutting_leaves_the_first_epochs(tmp_path, epochs, left):
    path = tmp_path / "distribution.jsonl"
    sizes = []
    for epoch in range(3):
        _append(path, epoch)
        sizes.append(path.read_bytes())
    path.write_bytes(sizes[-1] + left)
    cut_distribution(path, epochs)
    assert path.read_bytes() == sizes[epochs - 1]


def test_cutting_to_nothing_starts_the_file_anew(tmp_path):
    path = tmp_path / "distribution.jsonl"
    cut_distribution(path, 0)
    assert not path.exists()
    _append(path, 0)
    whole = path.read_bytes()
    cut_distribution(path, 0)
    assert path.read_bytes() == b""
    _append(path, 0)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\n", b'{"decisions": {}}', b"[]\n"])
def test_what_is_absent_or_damaged_is_no_history(tmp_path, content):
    path = tmp_path / "distribution.jsonl"
    if content is not None:
        path.write_bytes(content)
    assert read_distribution(path) == ()


def test_a_search_writes_the_weights_of_every_epoch(registry, make, tmp_path):
    Search(make(output=tmp_path / "run"), registry=registry).run()
    (history,) = read_distribution(tmp_path / "run" / "distribution.jsonl")
    assert history.decision == "operations"
    assert history.epochs == (0, 1, 2)
    for table in history.weights:
        assert len(table) == 2
        for row in table:
            assert sum(row) == pytest.approx(1, abs=1e-5)
    last = [history.choices[row.index(max(row))] for row in history.weights[-1]]
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert "-".join(last) == json.loads(lines[-1])["architecture"]


def test_a_run_of_a_version_without_histories_goes_on(registry, make, tmp_path):
    """Only the epochs from there on are known."""
    from balenas_core.errors import SearchInterrupted
    from balenas_core.interfaces.events import EpochEnded

    run = tmp_path / "run"
    search = Search(make(output=run), registry=registry)

    def stop(event):
        if isinstance(event, EpochEnded) and event.epoch == 1:
            search.request_stop()

    search._listeners.append(stop)
    with pytest.raises(SearchInterrupted):
        search.run()
    (run / "distribution.jsonl").unlink()
    Search.of_run(run, registry=registry).run(resume="must")
    (history,) = read_distribution(run / "distribution.jsonl")
    assert history.epochs == (2,)
