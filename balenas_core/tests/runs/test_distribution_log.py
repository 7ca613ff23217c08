"""What a run keeps of its distribution: written and read."""

from __future__ import annotations

import json
import re

import pytest
import torch

from balenas_core import Search
from balenas_core.interfaces.space import Decision
from balenas_core.runs.distribution_log import histories, names_line, weights_line

_DECISIONS = (Decision("cell", ("a", "b"), ("skip", "conv", "none")),)


def _line(epoch):
    row = torch.tensor([1 / 3, 1 / 3, 1 / 3]) if epoch % 2 else torch.tensor([0.0, 1.0, 0.0])
    return weights_line(epoch, {"cell": torch.stack([row, row])})


def test_a_history_is_read_back_with_its_names():
    (history,) = histories(names_line(_DECISIONS) + _line(0) + _line(1))
    assert history.decision == "cell"
    assert (history.slots, history.choices) == (("a", "b"), ("skip", "conv", "none"))
    assert history.epochs == (0, 1)
    assert history.weights == ([[0.0, 1.0, 0.0]] * 2, [[0.333333] * 3] * 2)


@pytest.mark.parametrize("content", [b"", b'{"decisions": {}}', b'{"decisions": {}}\n{"epo'])
def test_what_is_absent_or_in_the_making_is_no_history(content):
    assert histories(content) == ()


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (b"\xff\xfe\n", "line 1: expected value at line 1 column 1"),
        (b"[]\n", "line 1: all of it: input should be an object"),
        (b"[" * 200_000 + b"\n", "line 1: recursion limit exceeded"),
        (names_line(_DECISIONS) + b"{}\n", "line 2: epoch: field required"),
        (
            names_line(_DECISIONS) + b'{"epoch":0,"weights":{"cell":[[1,2]]}}\n',
            "line 2: weights.cell has not a row of choices for every slot",
        ),
        (
            names_line(_DECISIONS) + _line(0) + b'{"epoch":"1","weights":{}}\n',
            "line 3: epoch: input should be a valid integer (got '1')",
        ),
    ],
)
def test_a_damaged_line_is_named(lines, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        histories(lines)


def test_a_search_writes_the_weights_of_every_epoch(registry, make, tmp_path):
    Search(make(output=tmp_path / "run"), registry=registry).run()
    (history,) = histories((tmp_path / "run" / "distribution.jsonl").read_bytes())
    assert history.decision == "operations"
    assert history.epochs == (0, 1, 2)
    for table in history.weights:
        assert len(table) == 2
        for row in table:
            assert sum(row) == pytest.approx(1, abs=1e-5)
    last = [history.choices[row.index(max(row))] for row in history.weights[-1]]
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert "-".join(last) == json.loads(lines[-1])["architecture"]
