"""``balenas search`` with a selector in stages, and with limits."""

import json

import pytest

SEARCH = (
    "search", "--space", "toy", "--optimizer", "toy_adam", "--data", "digits", "--epochs", "1",
    "--check-epochs", "0",
    "--batch-size", "256", "--draws", "30", "--quiet",
)  # fmt: skip
STAGES = (
    "--selector", "toy_params > supernet > train",
    "--set", "selector.survivors=[3, 2]", "--set", "selector.train.budget=2",
)  # fmt: skip


def test_stages_are_shown_and_stored(call, tmp_path):
    answer = call(*SEARCH, *STAGES, "--output", "run")
    assert answer.code == 0, answer.err
    lines = [line.split() for line in answer.out.splitlines()]
    assert ["train", "2", "1", "2"] in [line[:4] for line in lines]
    stages = json.loads((tmp_path / "run" / "result.json").read_text())["stages"]
    assert [(s["name"], s["candidates"], len(s["survivors"])) for s in stages[1:]] == [
        ("supernet", 3, 2),
        ("train", 2, 1),
    ]
    assert [stage["epochs"] for stage in stages] == [0, 0, 2]


def test_a_limit_holds_and_gives_a_pareto_front(call):
    answer = call(*SEARCH, "--selector", "toy_params", "--max-params", "80", "--json")
    assert answer.code == 0, answer.err
    result = json.loads(answer.out)
    assert all(c["costs"]["params"] <= 80 for c in result["candidates"])
    assert result["pareto"]["params"][0] == result["architecture"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--selector", "toy_params >"), "expected a name at character 13"),
        (("--selector", "toy_params > argmax"), "'argmax' is a selector that cannot be a stage"),
        (("--selector", "toy_params", "--max-params", "0"), "--max-params: must be greater than 0"),
        (("--selector", "toy_params", "--max-latency", "1"), "the benchmark of the space has no"),
    ],
)
def test_what_cannot_be_selected_is_explained(call, arguments, message):
    answer = call(*SEARCH, *arguments)
    assert answer.code == 2
    assert message in answer.err
    assert "Traceback" not in answer.err


def test_limits_that_nobody_keeps_fail_with_the_least(call):
    answer = call(*SEARCH, "--selector", "toy_params", "--max-params", "5")
    assert answer.code == 1
    assert "at most 5 params; the least among them is" in answer.err
