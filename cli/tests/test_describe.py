"""``balenas describe``."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
from torch import nn

from balenas_core.plugins.plugin import Plugin
from balenas_core.plugins.registry import default_registry
from balenas_core.testing import ToySpace

CELL = "|{0}~0|+|{0}~0|{0}~1|+|{0}~0|{0}~1|{0}~2|"
CHATTER = "a plugin that prints\n"  # acme-toys prints when it is built
MIXED = "|none~0|+|nor_conv_1x1~0|none~1|+|nor_conv_3x3~0|none~1|skip_connect~2|"


@pytest.mark.parametrize(
    ("operation", "parameters", "multiply_adds"),
    [
        ("nor_conv_3x3", 1_531_546, 220_119_690),
        ("nor_conv_1x1", 241_306, 31_376_010),
        ("skip_connect", 73_306, 7_783_050),
    ],
)
def test_sizes_are_those_of_nas_bench_201(call, operation, parameters, multiply_adds):
    size = ("--set", "channels=16", "--set", "space.cells_per_stage=5")
    code, out, _ = call("describe", CELL.format(operation), "--space", "nb201", *size, "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["parameters"], found["multiply_adds"]) == (parameters, multiply_adds)
    assert sum(layer["multiply_adds"] for layer in found["layers"]) == multiply_adds
    assert found["space"]["channels"] == 16


def test_a_table_shows_the_cells_every_layer_and_the_total(call):
    code, out, err = call(
        "describe", "conv-skip", "-s", "toy", "--input", "3x6x6", "--classes", "5"
    )
    assert (code, err) == (0, CHATTER)
    assert out.startswith("toy cell\n  in     ── conv ───▶ middle\n")
    rows = [line.split() for line in out.splitlines()]
    assert ["stem", "Conv2d", "4x6x6", "16", "576"] in rows
    assert ["convs.0.0", "Conv2d", "4x6x6", "20", "720"] in rows
    assert ["classifier", "Linear", "5", "25", "25"] in rows
    assert ["total", "61", "1,321"] in rows
    assert "ReLU" not in out
    assert out.endswith("not shown: layers without parameters and MACs (1); --json has them.\n")


def test_the_canonical_form_is_named_where_it_is_another_one(call):
    canonical = CELL.format("none")
    cut_off = "|none~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|none~2|"
    assert f"computes the same as {canonical}\n" in call("describe", cut_off, "-s", "nb201").out
    assert "computes the same" not in call("describe", canonical, "-s", "nb201").out


def test_json_holds_the_cells_and_the_text_forms(call):
    found = json.loads(call("describe", "none-conv", "-s", "toy", "--json").out)
    assert found["architecture"] == "none-conv"
    assert found["canonical"] == "none-none"
    assert (found["input_shape"], found["num_classes"]) == ([3, 32, 32], 10)
    (cell,) = found["cells"]
    assert cell["edges"] == [{"source": "middle", "target": "out", "operation": "conv"}]


def test_an_image_is_written_beside_the_table(call, tmp_path):
    code, out, err = call("describe", "conv-skip", "-s", "toy", "--svg", "cell.svg")
    assert (code, err) == (0, f"{CHATTER}wrote cell.svg\n")
    assert "total" in out
    image = ElementTree.parse(tmp_path / "cell.svg").getroot()
    assert [e.text for e in image if e.tag.endswith("title")] == ["conv-skip"]


def test_an_image_on_stdout_is_the_only_thing_there(call):
    out = call("describe", "conv-skip", "-s", "toy", "--svg", "-").out
    assert ElementTree.fromstring(out).tag == "{http://www.w3.org/2000/svg}svg"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("conv", "-s", "toy"), "expected two of"),
        (("conv-skip", "-s", "toi"), "Did you mean 'toy'?"),
        (
            (MIXED, "-s", "nb201", "--set", "chanels=8"),
            "space.chanels: unknown key. Did you mean 'channels'?",
        ),
        (
            (MIXED, "-s", "nb201", "--set", "channels=999999999999999999999"),
            "space.channels: must be at most 65536 (got 999999999999999999999)",
        ),
        (
            (MIXED, "-s", "nb201", "--set", "channels=65536"),
            " TiB), and there are ",
        ),
        ((MIXED, "-s", "nb201", "--classes", "9" * 21), "--classes"),
        ((MIXED, "-s", "nb201", "--set", "channels=x"), "space.channels: must be a whole number"),
        ((MIXED, "-s", "nb201", "--set", "channels"), "--set channels: expected KEY=VALUE"),
        ((MIXED, "-s", "nb201", "--set", "name=darts"), "--set name=darts: expected KEY=VALUE"),
        ((MIXED, "-s", "nb201", "--set", "channels=[1"), "--set channels=[1: "),
        (("conv-skip", "-s", "toy", "--input", "3x32"), "--input 3x32: expected channels, height"),
        (("conv-skip", "-s", "toi"), "error: --space: no space called 'toi'. Did you mean 'toy'?"),
        (("conv-skip", "-s", "toy", "--classes", "0"), "greater than or equal to 1"),
        (
            ("conv-skip", "-s", "toy", "--svg", "absent/cell.svg"),
            "cannot write absent/cell.svg: No such file or directory",
        ),
    ],
)
def test_what_is_wrong_is_said_without_a_traceback(call, arguments, message):
    code, out, err = call("describe", *arguments)
    assert code == (1 if "--svg" in arguments else 2)
    assert out == ""
    assert message in err
    assert "Traceback" not in err


class NarrowSpace(ToySpace):
    """A space whose networks need images of nine pixels."""

    def network(self, architecture, task):
        return nn.Conv2d(task.input_shape[0], task.num_classes, 9)


def test_images_that_the_network_cannot_take_are_refused(call):
    plugin = Plugin(kind="space", summary="", api_version=1, implementation=NarrowSpace)
    default_registry().add("narrow", plugin)
    assert call("describe", "conv-skip", "-s", "narrow", "--input", "3x9x9").code == 0
    code, _, err = call("describe", "conv-skip", "-s", "narrow", "--input", "3x8x8")
    assert code == 2
    assert "the network cannot take images of 3x8x8: Calculated padded input size" in err
