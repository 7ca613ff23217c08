"""Values of the core's own settings."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from balenas_core.config import TrainingConfig, load_config
from balenas_core.errors import ConfigError

MINIMAL = {"space": "maze", "optimizer": "ngvi"}


def test_defaults_are_those_of_darts():
    training = TrainingConfig()
    assert (training.batch_size, training.lr, training.lr_min) == (64, 0.025, 0.001)
    assert (training.momentum, training.weight_decay, training.clip) == (0.9, 3e-4, 5.0)
    assert (training.epochs, training.validation_fraction) == (50, 0.5)


def test_a_small_lr_lowers_the_default_of_lr_min():
    assert TrainingConfig(lr=1e-4).lr_min == 1e-4


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("epochs", 0, "must be at least 1 (got 0)"),
        ("epochs", "3", "must be a whole number (got '3')"),
        ("epochs", 3.0, "must be a whole number (got 3.0)"),
        ("epochs", True, "must be a whole number (got true)"),
        ("batch_size", None, "must be a whole number (got null)"),
        ("lr", 0, "must be greater than 0 (got 0)"),
        ("lr", float("nan"), "must be a finite number (got nan)"),
        ("lr", float("inf"), "must be a finite number (got inf)"),
        ("lr", "1e-3", "must be a number (got '1e-3')"),
        ("lr", False, "must be a number (got false)"),
        ("lr", [1], "must be a number (got a list)"),
        ("lr_min", 1.0, "must be at most lr, 0.025 (got 1.0)"),
        ("schedule", "cosin", "must be 'cosine' or 'constant' (got 'cosin')"),
        ("momentum", 1, "must be less than 1 (got 1)"),
        ("nesterov", "yes", "must be true or false (got 'yes')"),
        ("nesterov", 1, "must be true or false (got 1)"),
        ("weight_decay", -0.1, "must be at least 0 (got -0.1)"),
        ("clip", 0, "must be greater than 0 (got 0)"),
        ("clip", "none at all", "must be a number (got 'none at all')"),
        ("validation_fraction", 1.0, "must be less than 1 (got 1.0)"),
        ("validation_fraction", 0.0, "must be greater than 0 (got 0.0)"),
        ("weights_at", "mode", "must be 'mean' or 'sample' (got 'mode')"),
        ("warmup_epochs", 51, "must be at most epochs, 50 (got 51)"),
        ("workers", -1, "must be at least 0 (got -1)"),
        ("epoch", 3, "unknown key. Did you mean 'epochs'?"),
    ],
)
def test_training_refuses_what_it_cannot_use(registry, key, value, message):
    with pytest.raises(ConfigError) as caught:
        load_config(base={**MINIMAL, "training": {key: value}}, registry=registry)
    assert str(caught.value) == f"preset: training.{key}: {message}"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("seed", -1, "must be at least 0 (got -1)"),
        ("seed", 2**63, f"must be less than {2**63} (got {2**63})"),
        ("seed", "0", "must be a whole number (got '0')"),
        ("device", "gpu", "must be auto, cpu, cuda, cuda:N or mps (got 'gpu')"),
        ("device", "cuda:", "must be auto, cpu, cuda, cuda:N or mps (got 'cuda:')"),
        ("device", 0, "must be text (got 0); put it in quotes"),
        ("precision", "half", "must be 'float32', 'float64' or 'bfloat16' (got 'half')"),
        ("threads", 0, "must be at least 1 (got 0)"),
        ("output", 5, "must be a path (got 5); put it in quotes"),
        ("output", "", "must name a directory of its own (got the current directory)"),
        ("training", 3, "must be a mapping (got 3)"),
        ("training", [], "must be a mapping (got a list)"),
        ("trackers", "tracky", "must be a list (got 'tracky')"),
        (
            "space",
            {"name": "maze", "channels": 2**63},
            "channels must be below 2^63 (got a number beyond)",
        ),
        ("opimizer", "adam", "unknown key. Did you mean 'optimizer'?"),
        ("batch_size", 3, "unknown key. Did you mean 'training.batch_size'?"),
    ],
)
def test_a_search_refuses_what_it_cannot_use(registry, key, value, message):
    with pytest.raises(ConfigError) as caught:
        load_config(base={**MINIMAL, key: value}, registry=registry)
    assert str(caught.value) == f"preset: {key}: {message}"


def test_a_number_too_long_to_print_is_refused(registry):
    with pytest.raises(ConfigError, match=r"seed: must be .*\(got a very long number\)"):
        load_config(base={**MINIMAL, "seed": 10**5000}, registry=registry)


@pytest.mark.parametrize("device", ["auto", "cpu", "mps", "cuda", "cuda:0", "cuda:12"])
def test_devices_of_torch_are_accepted(registry, device):
    assert load_config(base={**MINIMAL, "device": device}, registry=registry).device == device


def test_clipping_is_switched_off_by_null_or_none(registry):
    for value in (None, "none"):
        config = load_config(base={**MINIMAL, "training": {"clip": value}}, registry=registry)
        assert config.training.clip is None


def test_nesterov_needs_momentum(registry):
    with pytest.raises(ConfigError, match=r"training.nesterov: needs a momentum greater than 0"):
        load_config(
            base={**MINIMAL, "training": {"nesterov": True, "momentum": 0}}, registry=registry
        )


def test_one_wrong_value_is_reported_once(registry):
    with pytest.raises(ConfigError) as caught:
        load_config(
            base={**MINIMAL, "training": {"lr": "x", "epochs": "x", "warmup_epochs": 3}},
            registry=registry,
        )
    assert len(str(caught.value).splitlines()) == 2


def test_sections_whose_keys_are_all_commented_out_have_the_defaults(registry):
    empty = {"training": None, "modifiers": None, "trackers": None, "data": None}
    config = load_config(base={**MINIMAL, **empty}, registry=registry)
    assert config == load_config(base=MINIMAL, registry=registry)


def test_the_configuration_is_frozen(registry):
    config = load_config(base=MINIMAL, registry=registry)
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 3


def test_configuration_imports_no_torch():
    code = "import sys, balenas_core.config as c; c.json_schema(); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
