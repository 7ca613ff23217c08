"""``balenas estimate``."""

from __future__ import annotations

import json

import pytest

TOY = (
    "estimate", "--space", "toy", "--optimizer", "toy_adam", "--selector", "toy_params",
    "--epochs", "2", "--batch-size", "128", "--threads", "1", "--steps", "1",
)  # fmt: skip


def test_what_a_search_takes_is_told_by_name(call, tmp_path):
    answer = call(*TOY)
    assert answer.code == 0, answer.err
    names = [line.split("  ")[0] for line in answer.out.splitlines()]
    for name in ("devices", "weights", "activations", "step", "search", "toy_params", "in all"):
        assert name in names
    assert not list(tmp_path.glob("runs"))


def test_json_has_every_number(call):
    found = json.loads(call(*TOY, "--devices", "2", "--json").out)
    assert (found["devices"], found["images"], found["epochs"]) == (2, 64, 2)
    assert found["traffic_bytes"] == found["parameters"] * 4
    assert found["seconds"] >= found["search_seconds"] > 0
    assert {stage["name"] for stage in found["stages"]} == {"toy_params", "inherited", "check"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--devices", "0"), "--devices must be at least 1 (got 0)"),
        (("--devices", "3"), "training.batch_size (128) must be a multiple of the number of"),
        (("--bandwidth", "0"), "--bandwidth must be greater than 0 GB a second (got 0)"),
        (("--epochs", "0"), "--epochs: must be at least 1 (got 0)"),
    ],
)
def test_what_cannot_be_estimated_is_refused(call, arguments, told):
    answer = call(*TOY, *arguments)
    assert answer.code == 2
    assert told in answer.err
