"""Mistakes of formats and recipes, planted one at a time: the kit finds each, and explains it."""

import dataclasses
import re

import pytest
import torch
from torch import nn

from balenas_core import Plugin, Registry
from balenas_core.plugins.registry import default_registry
from balenas_timm import Format
from balenas_timm.testing import FormatConformance, RecipeConformance

GOOD = default_registry().find("format", "safetensors").load_value()
NAME = "planted"


def held_against(kit, implementation):
    """Return the kit's class for a plugin with this implementation."""

    class Both(Registry):
        def find(self, kind, name):
            return (super() if name == NAME else default_registry()).find(kind, name)

    registry = Both(use_entry_points=False)
    plugin = Plugin(kind=kit.kind, summary="a", api_version=1, implementation=implementation)
    registry.add(NAME, plugin)
    return type("Kit", (kit,), {"plugin_name": NAME, "registry": lambda self: registry})()


def assert_found(kit, test, message, *arguments):
    with pytest.raises(AssertionError) as raised:
        getattr(kit, test)(*arguments)
    assert re.search(message, str(raised.value), re.DOTALL), raised.value


def after_writing(change):
    """Return the good format with something done to the network, or the folder, after writing."""

    def write(network, blueprint, folder, opset):
        GOOD.write(network, blueprint, folder, opset)
        return change(network, folder) or {}

    return dataclasses.replace(GOOD, write=write)


def after_reading(change):
    """Return the good format with something done to what is read."""
    return dataclasses.replace(GOOD, read=lambda folder: change(GOOD.read(folder)))


places = []


def remembering():
    def write(network, blueprint, folder, opset):
        places.append(folder)
        return GOOD.write(network, blueprint, folder, opset)

    return dataclasses.replace(GOOD, write=write, read=lambda folder: GOOD.read(places[-1]))


class OneAtATime(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x[:1])


def in_two_files():
    def write(network, blueprint, folder, opset):
        GOOD.write(network, blueprint, folder, opset)
        (folder / "names.txt").write_text("a")
        return {}

    def read(folder):
        assert (folder / "names.txt").read_text() == "a"
        return GOOD.read(folder)

    return dataclasses.replace(GOOD, write=write, read=read)


FORMATS = {
    "no format": (Format, "test_builds_what_its_kind_is", "name a balenas_timm.Format"),
    "random weights": (
        after_reading(lambda network: nn.Sequential(nn.Flatten(), nn.LazyLinear(5))),
        "test_the_weights_are_those_of_the_network", "logits are off by",
    ),
    "one image of a batch": (
        after_reading(OneAtATime), "test_batches_are_of_any_size", "logits of 2 images in 5 class",
    ),
    "no tensor": (
        after_reading(lambda network: lambda x: network(x).tolist()),
        "test_batches_are_of_any_size", "must give a tensor; got list",
    ),
    "half of the network's precision": (
        after_writing(lambda network, _: network.half()),
        "test_writing_leaves_the_network_as_it_was", "changes the network's weights; work on",
    ),
    "the network's mode": (
        after_writing(lambda network, _: network.train() and None),
        "test_writing_leaves_the_network_as_it_was", "changes the network's mode; work on a copy",
    ),
    "a remembered folder": (
        remembering(), "test_a_written_folder_can_be_moved", "was written and moved cannot be read",
    ),
    "facts that are none": (
        after_writing(lambda *_: ["a"]), "test_facts_are_plain_data", "mapping of facts.*got list",
    ),
    "facts that are tensors": (
        after_writing(lambda *_: {"largest": torch.zeros(2)}),
        "test_facts_are_plain_data", "facts stand in --json; return plain data",
    ),
    "no usage": (
        dataclasses.replace(GOOD, usage=" "), "test_it_says_how_it_is_used", "say in usage",
    ),
    "a graph that is none": (
        dataclasses.replace(GOOD, is_graph=True), "test_a_graph_takes_a_normalization",
        "a network cannot be exported",
    ),
    "another file": (
        dataclasses.replace(GOOD, file="net.bin"), "test_a_network_is_exported_and_compared",
        "wrote no 'net.bin'",
    ),
    "two files": (
        in_two_files(), "test_a_file_alone_is_written_where_it_suffices", "say is_folder=True",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", FORMATS)
def test_a_mistake_of_a_format_is_found_and_explained(mistake, tmp_path):
    implementation, test, message = FORMATS[mistake]
    needs_folder = "export" in test or "alone" in test or "graph" in test
    kit = held_against(FormatConformance, implementation)
    assert_found(kit, test, message, *([tmp_path] if needs_folder else []))


@pytest.mark.parametrize("file", ["model", "a/b.bin", "../b.bin", "README.md", ""])
def test_the_file_of_a_format_is_a_name(file):
    with pytest.raises(ValueError, match=r"a name with a suffix, such as .model\.onnx."):
        Format(file, GOOD.write, GOOD.read)


VALID, STEP = "test_it_is_a_valid_configuration", "test_a_step_is_trained_by_it"
RECIPES = {
    "no mapping": ([("a", 1)], "test_it_settles_something", "mapping of settings; got list"),
    "an unknown key": ({"training": {"epoks": 3}}, VALID, "epoks.*as 'balenas train RUN --dry-run"),
    "a value out of range": ({"training": {"epochs": 0}}, VALID, "epochs"),
    "an option of another space": ({"space": {"name": "darts", "width": 3}}, VALID, "width"),
    "an architecture": ({"architecture": "a"}, "test_it_settles_something", "leave them to the us"),
    "an option of the optimizer": (
        {"training": {"optimizer_options": {"beta": 1}}}, STEP, "no step can be trained.*beta",
    ),
    "a policy": ({"training": {"auto_augment": "rand-x9"}}, STEP, "timm cannot read 'rand-x9'"),
    "a batch that is mixed": (
        {"training": {"batch_size": 7, "mixup": 0.2}}, STEP, "even number of images",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", RECIPES)
def test_a_mistake_of_a_recipe_is_found_and_explained(mistake):
    assert_found(held_against(RecipeConformance, RECIPES[mistake][0]), *RECIPES[mistake][1:])


def test_a_recipe_of_everything_passes():
    training = {"cutout": 40, "drop_path": 0.1, "auxiliary_weight": 0.4, "ema": 0.9, "mixup": 0.2}
    settings = {"space": "nb201", "training": {**training, "batch_size": 4, "compile": True}}
    kit = held_against(RecipeConformance, settings)
    getattr(kit, VALID)()
    getattr(kit, STEP)()
