"""``balenas export``."""

import json

import pytest
import torch

pytest.importorskip("balenas_timm")

CELL = "|nor_conv_3x3~0|+|skip_connect~0|none~1|+|none~0|nor_conv_1x1~1|avg_pool_3x3~2|"
SMALL = ("--space", "nb201", "--set", "channels=4", "--set", "cells_per_stage=1")


def test_an_architecture_becomes_a_file(call, tmp_path):
    out = tmp_path / "net.safetensors"
    code, stdout, err = call("export", CELL, *SMALL, "-f", "safetensors", "-o", str(out))
    assert code == 0
    assert err.startswith("warning: the weights are fresh, not trained")
    lines = stdout.splitlines()
    assert lines[0] == f"wrote {out}"
    assert f"net.safetensors  {out.stat().st_size:,}" in lines
    assert "difference  0.0e+00 from PyTorch's logits, on random images" in lines


def test_a_file_becomes_another_and_json_says_what_it_is(call, tmp_path):
    file = str(tmp_path / "net.safetensors")
    call("export", CELL, *SMALL, "--classes", "7", "-f", "safetensors", "-o", file)
    program = tmp_path / "net.pt2"
    code, stdout, err = call("export", file, "-f", "torch-export", "-o", str(program), "--json")
    assert (code, err) == (0, "")
    found = json.loads(stdout)
    assert found["max_difference"] < 1e-5
    assert found["files"] == {"net.pt2": program.stat().st_size}
    assert found["weights"] == "file net.safetensors"
    assert found["network"]["architecture"] == CELL
    assert found["network"]["space"]["channels"] == 4
    network = torch.export.load(program).module()
    assert network(torch.zeros(5, 3, 32, 32)).shape == (5, 7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((CELL, "-f", "timm", "-o", "net"), "is no run and no file; to export an architecture"),
        ((CELL, *SMALL, "-f", "onnx"), "say where to write it, with --output network.onnx"),
        (
            (CELL, *SMALL, "-f", "onxx", "-o", "net"),
            "no format called 'onxx'. Did you mean 'onnx'?",
        ),
        ((CELL, *SMALL, "-f", "timm", "-o", "net", "--inherited"), "an architecture alone has no"),
        (
            (CELL, *SMALL, "-f", "timm", "-o", "net", "--inherited", "--weights", "x"),
            "--weights and --inherited are two sources of weights",
        ),
        (
            (CELL, "--space", "nb201", "--set", "channels=0", "-f", "timm", "-o", "net"),
            "channels: must be at least 1 (got 0)",
        ),
        (
            (CELL, "--space", "nb202", "-f", "timm", "-o", "net"),
            "no space called 'nb202'. Did you mean 'nb201'?",
        ),
        (
            (CELL, *SMALL, "-f", "timm", "-o", "net", "--weights", "none.safetensors"),
            "there is no file none.safetensors",
        ),
        ((".", "-f", "timm", "--space", "nb201"), "says itself which network it is; leave --space"),
        ((".", "-f", "timm"), "holds no run"),
        ((CELL, *SMALL, "-f", "timm", "-o", "net", "--seed", "1"), "--seed is for a run"),
        ((".", "-f", "timm", "--seed", "1", "--inherited"), "--seed names a training of a run"),
        ((CELL, *SMALL, "-f", "onnx", "-o", "net", "--opset", "9"), "--opset must be at least 18"),
    ],
)
def test_requests_that_cannot_be_carried_out_are_refused(
    call, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    code, stdout, err = call("export", *arguments)
    assert (code, stdout) == (2, "")
    assert message in err
    assert list(tmp_path.iterdir()) == []
