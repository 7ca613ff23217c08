"""Precedence of levels, and how problems name the place where a value was written."""

from typing import Any

import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel, ConfigDict

from balenas_core.config import load_config
from balenas_core.config._layers import Layer, Origin
from balenas_core.config._load import load_settings
from balenas_core.config._problems import unfit_flag
from balenas_core.errors import ConfigError


class Speed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    lr: float = 0.0
    epochs: int = 1


class Job(BaseModel):
    model_config = ConfigDict(extra="forbid")
    space: Any = None
    optimizer: Any = None
    training: Speed = Speed()
    seed: int = 0


FILE = """\
space: maze
optimizer:
  name: ngvi
  lr: 0.2
training:
  lr: 0.2
  epochs: 2
seed: 2
"""


@pytest.fixture
def path(tmp_path):
    result = tmp_path / "run.yaml"
    result.write_text(FILE)
    return result


def test_overrides_go_over_flags_over_the_file_over_the_base_over_defaults(path, registry):
    config = load_config(
        path,
        base={"seed": 1, "training": {"epochs": 1, "lr": 0.1, "batch_size": 1, "workers": 1}},
        flags={"training.lr": 0.3, "training.batch_size": 3, "seed": 3},
        overrides=["training.batch_size=4", "seed=4"],
        registry=registry,
    )
    training = config.training
    assert config.seed == 4
    assert training.batch_size == 4
    assert training.lr == 0.3
    assert training.epochs == 2
    assert training.workers == 1
    assert training.momentum == 0.9


def test_a_flag_of_none_was_not_given(path, registry):
    assert load_config(path, flags={"seed": None}, registry=registry).seed == 2


def test_overrides_may_be_a_mapping_of_values(path, registry):
    config = load_config(path, overrides={"training.lr": 0.5, "output": None}, registry=registry)
    assert config.training.lr == 0.5


def test_another_name_drops_the_options_of_the_plugin_before(path, registry):
    config = load_config(path, flags={"optimizer": "adam"}, registry=registry)
    assert config.optimizer.options.lr == 3e-4


def test_the_same_name_in_another_spelling_keeps_them(path, registry):
    config = load_config(path, flags={"optimizer": "NGVI"}, registry=registry)
    assert config.optimizer.options.lr == 0.2


def test_options_of_a_level_join_a_name_of_the_same_level_in_any_order(path, registry):
    for overrides in (
        ["optimizer=adam", "optimizer.beta=0.1"],
        ["optimizer.beta=0.1", "optimizer=adam"],
    ):
        options = load_config(path, overrides=overrides, registry=registry).optimizer.options
        assert (options.lr, options.beta) == (3e-4, 0.1)


def test_an_override_turns_a_bare_name_into_a_mapping(path, registry):
    config = load_config(path, overrides=["space.channels=3"], registry=registry)
    assert config.space.name == "maze"
    assert config.space.options.channels == 3


def test_options_without_a_name_join_any_name(registry):
    config = load_config(
        base={"space": "maze", "optimizer": "ngvi", "data": {"path": "x"}},
        flags={"data": "npz"},
        registry=registry,
    )
    assert config.data.options.path == "x"


def test_lists_are_replaced(registry):
    base = {"space": "maze", "optimizer": "ngvi", "trackers": [{"name": "tracky", "path": "x"}]}
    assert load_config(base=base, overrides=["trackers=[]"], registry=registry).trackers == ()


@pytest.mark.parametrize(
    ("argument", "value"),
    [("training.epochs=3", 3), ("training={epochs: 3}", 3), (" training.epochs = 3 ", 3)],
)
def test_override_values_are_yaml(path, registry, argument, value):
    assert load_config(path, overrides=[argument], registry=registry).training.epochs == value


def test_override_values_read_numbers_as_files_do(path, registry):
    config = load_config(
        path, overrides=["training.lr=1e-3", "training.clip=null", "output=null"], registry=registry
    )
    assert config.training.lr == 1e-3
    assert config.training.clip is None
    assert config.output is None


def test_the_last_override_of_a_key_counts(path, registry):
    assert load_config(path, overrides=["seed=5", "seed=6"], registry=registry).seed == 6


@pytest.mark.parametrize("argument", ["seed", "=3", ""])
def test_an_override_without_key_and_value_is_refused(path, registry, argument):
    with pytest.raises(ConfigError, match=r"expected KEY=VALUE, such as training.lr=0.1") as caught:
        load_config(path, overrides=[argument], registry=registry)
    assert str(caught.value).startswith(f"--set {argument}: ")


@pytest.mark.parametrize("key", ["training..lr", ".seed", "seed.", "a b", "."])
def test_an_override_with_a_malformed_key_says_so(path, registry, key):
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides=[f"{key}=3"], registry=registry)
    assert str(caught.value).startswith(f"--set {key}=3: malformed key {key!r}; write names with")


@pytest.mark.parametrize("argument", ["training.clip=", "training.clip= "])
def test_an_override_without_a_value_does_not_mean_null(path, registry, argument):
    with pytest.raises(ConfigError, match=r"has no value; write null for none$") as caught:
        load_config(path, overrides=[argument], registry=registry)
    assert str(caught.value).startswith(f"--set {argument}:")


def test_an_override_that_is_no_yaml_is_refused(path, registry):
    with pytest.raises(ConfigError, match=r"^--set seed=\[1,: seed: not valid YAML: .* quotes"):
        load_config(path, overrides=["seed=[1,"], registry=registry)


def test_an_override_inside_a_value_is_refused(path, registry):
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides=["training.lr.x=3"], registry=registry)
    assert str(caught.value) == (
        "--set training.lr.x=3: training.lr: must be a number (got a mapping)"
    )


def test_problems_name_the_place_where_each_value_was_written(path, registry):
    path.write_text(FILE + "device: gpu\nthreads: 0\n")
    with pytest.raises(ConfigError) as caught:
        load_config(
            path,
            base={"precision": "half"},
            flags={"training.lr": -1.0, "training.batch_size": 0, "data.root": "x"},
            flag_names={"data.root": "--data-root"},
            overrides=["training.epochs=x", "optimizer.lrr=1", "nonsense"],
            base_name="preset 'mine'",
            registry=registry,
        )
    assert str(caught.value).splitlines() == [
        "preset 'mine': precision: must be 'float32', 'float64' or 'bfloat16' (got 'half')",
        f"{path}:9: device: must be auto, cpu, cuda, cuda:N or mps (got 'gpu')",
        f"{path}:10: threads: must be at least 1 (got 0)",
        "--lr: must be greater than 0 (got -1.0)",
        "--batch-size: must be at least 1 (got 0)",
        "--data-root: does not apply: dataset 'digits' takes no options",
        "--set training.epochs=x: training.epochs: must be a whole number (got 'x')",
        "--set optimizer.lrr=1: optimizer.lrr: unknown key. Did you mean 'lr'?",
        "--set nonsense: expected KEY=VALUE, such as training.lr=0.1",
    ]


def test_a_flag_names_the_key_below_it(path, registry):
    with pytest.raises(ConfigError, match=r"^--data: data.path: is missing$"):
        load_config(path, flags={"data": "npz"}, registry=registry)


def test_a_flag_that_a_plugin_with_options_lacks_lists_them(path, registry):
    with pytest.raises(ConfigError) as caught:
        load_config(path, flags={"optimizer.zzz": 1}, registry=registry)
    assert str(caught.value).startswith("--zzz: does not apply to optimizer 'ngvi', whose options")


@pytest.mark.parametrize(
    ("message", "name", "expected"),
    [
        ("unknown key; space 'x' takes no options", "x", "does not apply: space 'x' takes no op"),
        ("unknown key. Known here: a, b.", "x", "does not apply to space 'x', whose options are"),
        ("unknown key. Did you mean 'a'?", "x", "does not apply to space 'x'. Did you mean 'a'?"),
        ("unknown key", None, "does not apply to the default space"),
        ("must be a number", "x", "must be a number"),
    ],
)
def test_a_flag_is_never_an_unknown_key(message, name, expected):
    assert unfit_flag(message, "space", name).startswith(expected)


def test_a_flag_that_names_no_plugin_is_named(path, registry):
    with pytest.raises(ConfigError, match=r"^--optimizer: no optimizer called 'x'"):
        load_config(path, flags={"optimizer": "x"}, registry=registry)


def test_inputs_are_left_as_they_were(registry):
    base = {"space": "maze", "optimizer": {"name": "ngvi"}, "trackers": []}
    load_config(base=base, overrides=["optimizer.lr=1", "space.channels=2"], registry=registry)
    assert base == {"space": "maze", "optimizer": {"name": "ngvi"}, "trackers": []}


KEYS = st.sampled_from(["space", "training", "a", "b", "name"])
TREES = st.recursive(
    st.integers() | st.sampled_from(["x", "y"]),
    lambda inner: st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
SETTINGS = st.lists(st.tuples(st.lists(KEYS, min_size=1, max_size=3).map(tuple), TREES), max_size=6)


@given(SETTINGS, SETTINGS)
def test_every_value_of_merged_levels_has_an_origin(lower, upper):
    merged, above = Layer(), Layer()
    for path, value in lower:
        merged.put(path, value, Origin("lower", (0, 0)))
    for path, value in upper:
        above.put(path, value, Origin("upper", (1, 0)))
    merged.lay(above)
    assert set(_paths(merged.data)) == set(merged.origins)


def _paths(value, path=()):
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*path, key)
            yield from _paths(item, (*path, key))


def test_settings_of_any_model_have_levels_and_messages_that_name_them(path, registry):
    with pytest.raises(ConfigError) as raised:
        load_settings(
            Job,
            path,
            bases=(("a run", {"space": "maze"}), ("--preset small", {"training": {"epoch": 2}})),
            flags={"training.lr": "fast"},
            overrides=["lr=2.0"],
            registry=registry,
        )
    assert str(raised.value).splitlines() == [
        "--preset small: training.epoch: unknown key. Did you mean 'epochs'?",
        "--lr: must be a number (got 'fast')",
        "--set lr=2.0: lr: unknown key. Did you mean 'training.lr'?",
    ]


def test_of_several_bases_the_last_goes_over_the_others(registry):
    bases = (("run", {"seed": 1, "training": {"lr": 0.1}}), ("preset", {"training": {"lr": 0.2}}))
    job = load_settings(Job, bases=bases, registry=registry)
    assert (job.seed, job.training.lr) == (1, 0.2)
