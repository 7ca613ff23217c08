"""Mistakes of presets, planted one at a time: the kit finds each and says what to mend."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from pathlib import Path

import pytest
from planted import assert_found, faults, held_against

from balenas_core.plugins.options import PluginOptions
from balenas_core.testing import PresetConformance
from balenas_core.testing._toy_search import toy_registry

GOOD = {
    "optimizer": {"name": "sgd"},
    "selector": {"name": "random", "draws": 5},
    "training": {"epochs": 3, "batch_size": 16, "lr": 0.05},
}
COMPLETION = {"space": "toy", "optimizer": "sgd", "selector": "random"}
VALID, PLAIN, OWN = (
    "test_it_is_a_valid_configuration",
    "test_it_can_be_written_into_a_file",
    "test_it_settles_something",
)


def having(**settings):
    """Return the good preset with other settings."""
    return {**GOOD, **settings}


class Emptied(Mapping):
    """Gives its settings away once."""

    def __init__(self):
        self.settings = copy.deepcopy(GOOD)

    def __getitem__(self, key):
        return self.settings.pop(key)

    def __iter__(self):
        return iter(list(self.settings))

    def __len__(self):
        return len(self.settings)


class Options(PluginOptions):
    """Nobody asks for them."""


MISTAKES = {
    "an unknown key": (having(optimiser="sgd"), VALID, "optimiser.*Name the keys"),
    "a key in the wrong place": (having(epochs=3), VALID, "epochs"),
    "an unknown plugin": (having(optimizer="adamw_none"), VALID, "no optimizer called"),
    "an unknown selector in an expression": (having(selector="random>nope"), VALID, "nope"),
    "an expression that is none": (having(selector="random>"), VALID, "selector"),
    "an option that is not the plugin's": (
        having(selector={"name": "random", "sample": 3}), VALID, "sample",
    ),
    "a value of the wrong type": (having(training={"epochs": "many"}), VALID, "epochs"),
    "a value out of range": (having(training={"epochs": -1}), VALID, "epochs"),
    "not a number": (having(training={"lr": math.nan}), VALID, "lr"),
    "partners that do not fit": (
        having(distribution="nothing_like_it"), VALID, "no distribution called",
    ),
    "a list for a section": (having(training=[3, 16]), VALID, "training"),
    "one run's output": (having(output="runs/mine"), OWN, "leave them to the user"),
    "one run's seed": (having(seed=3), OWN, "leave them to the user"),
    "one machine's device": (having(device="cpu"), OWN, "leave them to the user"),
    "a path of one machine": (
        having(data={"name": "npz", "path": "/home/me/images.npz"}), OWN, "/home/me/images.npz",
    ),
    "a list of who may be imported": (
        having(plugins={"allow": ["acme"]}), OWN, "plugins.allow",
    ),
    "nothing": ({}, OWN, "empty"),
    "a path object": (having(output=Path("x")), PLAIN, "plain data"),
    "a set": (having(trackers={"tensorboard"}), PLAIN, "plain data"),
    "a tuple": (having(training={"epochs": 3, "betas": (1, 2)}), PLAIN, "plain data"),
    "numbers for keys": (having(**{"training": {1: 2}}), PLAIN, "plain data"),
    "a class": (type("Preset", (), GOOD), "test_it_settles_something", "mapping of settings"),
    "a function": (lambda: GOOD, "test_it_settles_something", "mapping of settings"),
    "pairs": (list(GOOD.items()), "test_it_settles_something", "mapping of settings"),
    "given away once": (Emptied(), "test_using_it_leaves_it_as_it_is", "another after"),
    "the name of a distribution's long form that is not there": (
        having(optimizer="acme-nothing:sgd"), VALID, "no optimizer called",
    ),
    "a distribution that is required and not there": (
        having(plugins={"require": ["acme-nothing"]}), VALID, "not installed",
    ),
}  # fmt: skip


def _kit(implementation, **fields):
    kit = held_against(PresetConformance, implementation, completion=COMPLETION, **fields)
    planted, toys = kit().registry(), toy_registry()
    for ref in toys.refs():
        planted.add(ref.name, ref.load())
    return kit


def test_a_good_preset_passes(tmp_path):
    assert faults(_kit(GOOD), tmp_path) == {}


def test_a_preset_may_set_options_of_a_plugin_that_it_leaves_open(tmp_path):
    assert faults(_kit({"selector": {"draws": 5}}), tmp_path) == {}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_and_explained(mistake, tmp_path):
    implementation, *expected = MISTAKES[mistake]
    assert_found(_kit(implementation), *expected, tmp_path)


def test_options_of_a_preset_are_a_mistake(tmp_path):
    kit = _kit(GOOD, options=Options)
    assert_found(kit, "test_it_has_no_options", "nobody asks for its options", tmp_path)
