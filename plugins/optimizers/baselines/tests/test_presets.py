import subprocess
import sys

import pytest

from balenas_core import Search, load_config
from balenas_core.config import to_yaml
from balenas_core.errors import ConfigError, SearchInterrupted
from balenas_core.interfaces.events import StepEnded
from balenas_core.plugins.registry import default_registry

NAMES = sorted(
    ref.name
    for ref in default_registry().refs("preset")
    if ref.distribution == "balenas-optimizer-baselines"
)
SPACES = ("darts", "nb201")


def _config(name, **flags):
    settings = default_registry().find("preset", name).load_implementation()
    return load_config(base=settings, flags=flags, base_name=f"--preset {name}")


def test_every_promised_preset_is_there():
    promised = {
        "balenas",
        "balenas-authors",
        "balenas-categorical",
        "balenas-informed",
        "balenas-tf",
        "darts",
        "darts-2nd",
        "drnas",
        "evolution",
        "gdas",
        "pc-darts",
        "random",
        "sdarts-rs",
        "snas",
    }
    assert promised <= set(NAMES)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", NAMES)
def test_a_preset_is_a_valid_configuration_that_is_read_back(name, space, tmp_path):
    config = _config(name, space=space)
    path = tmp_path / "search.yaml"
    path.write_text(to_yaml(config))
    assert load_config(path) == config


def test_presets_import_no_torch():
    code = (
        "import sys; from balenas_core.plugins.registry import default_registry as r\n"
        f"[r().find('preset', n).load_implementation() for n in {NAMES!r}]\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_flags_go_over_a_preset():
    config = _config("gdas", space="nb201", **{"training.epochs": 3})
    assert config.training.epochs == 3
    assert config.distribution.options.hard


def test_another_variant_brings_its_own_prior():
    config = _config("balenas", space="nb201", **{"optimizer.variant": "ivon"})
    assert config.optimizer.options.prior_precision is None
    with pytest.raises(
        ConfigError, match=r"distribution\.initial_sigma: must be below 1, the width"
    ):
        _config(
            "balenas",
            space="nb201",
            **{"optimizer.variant": "ivon", "optimizer.prior_precision": 1.0},
        )


def test_the_settings_are_those_of_the_papers():
    darts = _config("darts", space="darts")
    adam = darts.optimizer.options
    assert (adam.lr, adam.beta1, adam.beta2, adam.weight_decay) == (3e-4, 0.5, 0.999, 1e-3)
    assert (darts.training.epochs, darts.training.batch_size, darts.training.clip) == (50, 64, 5)
    assert not adam.unrolled
    assert _config("darts-2nd", space="darts").optimizer.options.unrolled
    gdas = _config("gdas", space="darts").distribution.options
    assert (gdas.temperature_start, gdas.temperature_end) == (10, 0.1)
    authors = _config("balenas-authors", space="darts")
    ngvi = authors.optimizer.options
    assert (ngvi.lr, ngvi.beta1, ngvi.beta2, ngvi.prior_precision) == (3e-4, 0.5, 0.999, 1)
    assert authors.training.weights_at == "mean"
    gaussian = _config("balenas", space="darts").optimizer.options
    assert (gaussian.variant, gaussian.mc_samples) == ("vadam", 1)
    assert _config("balenas", space="darts").training.weights_only_epochs == 19
    # Another variant brings its own: nothing of this one is given.
    assert (gaussian.lr, gaussian.beta1, gaussian.beta2, gaussian.prior_precision) == (None,) * 4
    pc_darts = _config("pc-darts", space="nb201")
    assert pc_darts.space.options.partial_channels == 4
    assert pc_darts.training.weights_only_epochs == 15
    assert _config("sdarts-rs", space="darts").modifiers.perturbation.end == 0.3


def _small(name, **changes):
    flags = {
        "space": "nb201",
        "space.channels": 4,
        "data": "digits",
        "training.epochs": 2,
        "training.batch_size": 256,
        "training.warmup_epochs": 0,
        **changes,
    }
    if name in ("random", "evolution"):
        flags["selector.evaluations"] = 3
    if name in ("balenas-informed", "balenas-tf"):
        flags["modifiers.informed_prior.architectures"] = 8
    if name == "balenas-tf":
        flags |= {"selector.draws": 3, "selector.neighbors": 0}
        flags["selector.refine"] = {"trainings": 2, "epochs": 1}
    if name == "evolution":
        flags |= {"selector.population": 2, "selector.tournament": 1}
    return _config(name, **flags)


def _found(result):
    metrics = [{k: v for k, v in m.items() if k != "seconds"} for m in result.metrics]
    return str(result.architecture), result.validation_accuracy, metrics


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_searches_and_goes_on_to_the_bit_after_an_interruption(name, tmp_path):
    modifiers = {
        "modifiers.curvature": {"iterations": 2, "samples": 1},
        "modifiers.early_stopping": {"window": 1},
        "modifiers.perturbation": {"start": 0.1},
        "modifiers.limits": {"skip_connect": 2},
    }
    result = Search(_small(name, **modifiers)).run()
    assert len(result.metrics) == 2
    assert 0 <= result.validation_accuracy <= 100
    assert str(result.architecture).count("skip_connect") <= 2

    def stop(event):
        if isinstance(event, StepEnded) and (event.epoch, event.step) == (1, 1):
            interrupted.request_stop()

    output = tmp_path / "run"
    interrupted = Search(_small(name, output=str(output), **modifiers), listeners=[stop])
    with pytest.raises(SearchInterrupted):
        interrupted.run()
    resumed = Search.of_run(output).run(resume="must")
    assert _found(resumed) == _found(result)
