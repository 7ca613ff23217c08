import functools
import json
import math

import pytest
import torch

from balenas_core import Search
from balenas_core.errors import (
    DataError,
    DivergenceError,
    IncompatiblePluginsError,
    OutputError,
    PluginLoadError,
    RunExistsError,
    UsageError,
)
from balenas_core.interfaces.events import (
    ArchitectureSelected,
    EpochEnded,
    RunFinished,
    SearchFailed,
    SearchStarted,
    SelectionProgress,
    StepEnded,
)
from balenas_core.interfaces.proxy import Proxy
from balenas_core.plugins.hooks import hookimpl
from balenas_core.testing import (
    ToyOptimizer,
    ToySpace,
    toy_config,
    toy_plugin,
    toy_registry,
)


class _NoSupernet(ToyOptimizer):
    uses_supernet = False

    def step(self, objective):
        raise AssertionError("must not be called")


class _Parameters(Proxy):
    def score(self, network, batch):
        return float(sum(p.numel() for p in network.parameters()))


class _ShrinkingSpace(ToySpace):
    """Its supernet normalises one pixel of each image."""

    def supernet(self, task):
        supernet = super().supernet(task)
        supernet.norm = torch.nn.BatchNorm2d(task.input_shape[0])

        def normalized(module, arguments):
            x, weights = arguments
            return x + module.norm(x.mean((2, 3), keepdim=True)), weights

        supernet.register_forward_pre_hook(normalized)
        return supernet


@pytest.fixture
def registry():
    registry = toy_registry()
    for name, plugin in {
        "gaussian_sgd": toy_plugin(
            "optimizer",
            ToyOptimizer,
            needs={"distribution": ("gaussian",)},
            defaults={"distribution": "gaussian"},
        ),
        "lazy": toy_plugin("optimizer", _NoSupernet, defaults={"distribution": "point"}),
        "size": toy_plugin("proxy", _Parameters),
        "shrinking": toy_plugin("space", _ShrinkingSpace, provides=("supernet",)),
    }.items():
        registry.add(name, plugin)
    return registry


@pytest.fixture
def make(registry):
    return functools.partial(toy_config, registry)


def _run(registry, config, listeners=()):
    return Search(config, registry=registry, listeners=listeners).run()


def _last_state(run):
    newest = max((run / "checkpoints").iterdir())
    return torch.load(newest, weights_only=True)


def test_batches_of_one_image_are_refused_where_it_becomes_one_pixel(registry, make, tmp_path):
    config = make(space="shrinking", training={"batch_size": 1}, output=tmp_path / "run")
    with pytest.raises(UsageError, match=r"one image at a time.*batch_size to at least 2"):
        _run(registry, config)
    assert not (tmp_path / "run").exists()
    few = make(space="shrinking", training={"batch_size": 2, "epochs": 1})
    assert len(_run(registry, few).metrics) == 1


def test_batches_of_one_image_are_searched_on_where_pixels_are_left(registry, make):
    assert len(_run(registry, make(training={"batch_size": 1, "epochs": 1})).metrics) == 1


def test_a_search_learns_to_classify(registry, make):
    result = _run(registry, make(training={"epochs": 8}))
    assert result.metrics[-1]["validation_accuracy"] == 100.0
    assert result.metrics[-1]["train_loss"] < result.metrics[0]["train_loss"]
    assert result.architecture in {
        ToySpace().parse(text) for text in ("skip-skip", "skip-conv", "conv-skip", "conv-conv")
    }


def test_one_seed_gives_one_result_and_another_seed_another(registry, make):
    def trace(seed):
        result = _run(registry, make(seed=seed))
        return [{k: v for k, v in m.items() if k != "seconds"} for m in result.metrics]

    assert trace(0) == trace(0)
    assert trace(0) != trace(1)


def test_the_global_generator_neither_influences_a_search_nor_is_moved_by_it(registry, make):
    torch.manual_seed(1)
    first = _run(registry, make()).metrics[-1]["train_loss"]
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert _run(registry, make()).metrics[-1]["train_loss"] == first
    assert torch.equal(torch.get_rng_state(), before)


def test_events_come_in_order(registry, make):
    events = []
    _run(registry, make(selector={"name": "size", "draws": 3}), [events.append])
    kinds = [type(event) for event in events if not isinstance(event, SelectionProgress)]
    epoch = [StepEnded] * 4 + [EpochEnded]
    assert kinds == [SearchStarted, *epoch, *epoch, ArchitectureSelected, RunFinished]


def test_proxies_rank_the_draws_and_the_table_is_stored(registry, make, tmp_path):
    result = _run(registry, make(selector={"name": "size", "draws": 40}, output=tmp_path / "run"))
    assert str(result.architecture) == "conv-conv"
    stored = json.loads((tmp_path / "run" / "result.json").read_text())
    assert stored["architecture"] == "conv-conv"
    assert [c["rank"] for c in stored["candidates"]] == list(
        range(1, len(stored["candidates"]) + 1)
    )
    assert sum(c["is_argmax"] for c in stored["candidates"]) == 1


def test_a_run_directory_holds_what_was_asked_and_what_was_found(registry, make, tmp_path):
    config = make(output=tmp_path / "run")
    result = _run(registry, config)
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert files == {
        "checkpoints",
        "config.yaml",
        "distribution.jsonl",
        "environment.json",
        "metrics.jsonl",
        "result.json",
        "selection.jsonl",
        "status.json",
    }
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [0, 1]
    assert result.run == tmp_path / "run"


def test_the_checkpoint_is_plain_data_of_the_last_epoch(registry, make, tmp_path):
    _run(registry, make(output=tmp_path / "run"))
    state = _last_state(tmp_path / "run")
    assert state["place"]["epochs_done"] == 2
    assert set(state["loop"]) >= {
        *("supernet", "distribution", "optimizer", "sgd", "scheduler", "generator"),
    }


def test_an_existing_run_is_refused_before_any_work(registry, make, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("")
    events = []
    with pytest.raises(RunExistsError, match="already holds a run"):
        _run(registry, make(output=tmp_path / "run"), [events.append])
    assert events == []


def test_an_output_that_cannot_be_made_leaves_nothing(registry, make, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunExistsError, match="below the file"):
        _run(registry, make(output=tmp_path / "file" / "run"))
    with pytest.raises(OutputError, match="shorter name"):
        _run(registry, make(output=tmp_path / ("x" * 300)))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


class _Breakable(ToySpace):
    def supernet(self, task):
        self.built = super().supernet(task)
        return self.built


def test_divergence_names_the_step_and_keeps_the_last_good_state(registry, make, tmp_path):
    events = []
    space = _Breakable()
    registry.add("breakable", toy_plugin("space", lambda: space))

    def poison(event):
        events.append(event)
        if isinstance(event, StepEnded) and (event.epoch, event.step) == (1, 1):
            torch.nn.init.constant_(space.built.classifier.weight, math.nan)

    with pytest.raises(DivergenceError, match=r"epoch 1, step 2: .* is nan\. Lower training\.lr"):
        _run(registry, make(space="breakable", output=tmp_path / "run"), [poison])
    state = _last_state(tmp_path / "run")
    assert state["place"]["epochs_done"] == 1
    assert all(value.isfinite().all() for value in state["loop"]["supernet"].values())
    assert isinstance(events[-1], SearchFailed)
    assert not (tmp_path / "run" / "result.json").exists()


@pytest.mark.parametrize("weights_at", ["mean", "sample"])
def test_weights_are_trained_where_the_config_says(registry, make, weights_at, monkeypatch):
    from balenas_core.distributions import GaussianDistribution

    calls = []
    sample = GaussianDistribution.weights
    monkeypatch.setattr(
        GaussianDistribution, "weights", lambda self, g: calls.append(1) or sample(self, g)
    )
    config = make(optimizer="gaussian_sgd", training={"epochs": 1, "weights_at": weights_at})
    _run(registry, config)
    assert len(calls) == {"mean": 4, "sample": 8}[weights_at]


def test_warm_up_epochs_leave_the_distribution_alone(registry, make):
    metrics = _run(registry, make(training={"epochs": 2, "warmup_epochs": 1})).metrics
    assert metrics[0]["validation_loss"] is None
    assert metrics[1]["validation_loss"] is not None


@pytest.mark.parametrize(
    ("training", "expected"),
    [
        ({"epochs": 40, "warmup_share": 0.375}, 15),
        ({"epochs": 3, "warmup_share": 0.3}, 1),
        ({"epochs": 1, "warmup_share": 0.3}, 0),
        ({"epochs": 40, "warmup_share": 0.375, "warmup_epochs": 2}, 2),
        ({"epochs": 40}, 0),
    ],
)
def test_a_warm_up_is_a_share_of_the_epochs_or_a_number(make, training, expected):
    assert make(training=training).training.weights_only_epochs == expected


def test_the_distribution_and_the_optimizer_hear_of_the_progress(registry, make):
    heard = {"distribution": [], "optimizer": []}

    class Listening(ToyOptimizer):
        def __init__(self, **context):
            super().__init__(**context)
            self.distribution.set_progress = heard["distribution"].append

        def set_progress(self, fraction):
            heard["optimizer"].append(fraction)

    registry.add(
        "listening", toy_plugin("optimizer", Listening, defaults={"distribution": "point"})
    )
    _run(registry, make(optimizer="listening", training={"epochs": 3}))
    assert heard == {"distribution": [0.0, 0.5, 1.0], "optimizer": [0.0, 0.5, 1.0]}


def test_the_curvature_is_recorded_each_epoch_and_moves_no_random_number(registry, make):
    plain = _run(registry, make()).metrics
    modifiers = {"curvature": {"iterations": 3, "samples": 2}}
    recorded = _run(registry, make(modifiers=modifiers)).metrics
    for before, after in zip(plain, recorded, strict=True):
        assert math.isfinite(after["hessian_top_eigenvalue"])
        assert math.isfinite(after["hessian_trace"])
        assert {key: after[key] for key in before if key != "seconds"} == {
            key: before[key] for key in before if key != "seconds"
        }


def test_a_rising_eigenvalue_ends_the_search_early(registry, make, tmp_path, monkeypatch):
    from balenas_core.engine import bilevel as _bilevel
    from balenas_core.engine.curvature import Curvature

    values = iter([1.0, 1.0, 2.0, 2.0, 2.0, 2.0])
    monkeypatch.setattr(_bilevel, "curvature", lambda *_, **__: Curvature(next(values), trace=0.0))
    config = make(
        training={"epochs": 6},
        modifiers={"early_stopping": {"window": 1}},
        output=tmp_path / "run",
    )
    result = _run(registry, config)
    assert [m["hessian_top_eigenvalue"] for m in result.metrics] == [1.0, 1.0, 2.0]
    state = _last_state(tmp_path / "run")
    assert state["early_stopping"]["has_stopped"]
    # What is kept is the distribution of the epoch before the rise.
    earlier = state["early_stopping"]["states"][0]
    kept = state["loop"]["distribution"]
    assert all(torch.equal(earlier[key], kept[key]) for key in earlier)
    assert result.metrics[-1]["architecture"] == result.metrics[-2]["architecture"]


def test_a_perturbation_changes_the_training_and_a_limit_the_choice(registry, make):
    plain = _run(registry, make())
    noisy = _run(registry, make(modifiers={"perturbation": {"start": 0.3}}))
    assert noisy.metrics[0]["train_loss"] != plain.metrics[0]["train_loss"]
    limits = {"limits": {"skip": 0, "conv": 1}}
    selector = {"name": "random", "draws": 20}
    limited = _run(registry, make(modifiers=limits, selector=selector))
    chosen = [str(c.architecture).split("-") for c in limited.selection.candidates]
    assert all(c.count("skip") == 0 and c.count("conv") <= 1 for c in chosen)


def test_a_limit_on_an_unknown_choice_is_refused_before_any_work(registry, make):
    with pytest.raises(UsageError, match="has the choice 'sep_conv'"):
        _run(registry, make(modifiers={"limits": {"sep_conv": 1}}))


def test_an_optimizer_that_needs_no_supernet_trains_none(registry, make, tmp_path):
    result = _run(registry, make(optimizer="lazy", output=tmp_path / "run"))
    assert result.metrics == ()
    assert result.validation_accuracy is None


@pytest.mark.parametrize("precision", ["float32", "float64", "bfloat16"])
def test_every_precision_runs(registry, make, precision):
    assert math.isfinite(_run(registry, make(precision=precision)).metrics[-1]["train_loss"])


def test_threads_are_set_for_the_search_alone(registry, make):
    before = torch.get_num_threads()
    seen = []
    _run(registry, make(threads=1), [lambda event: seen.append(torch.get_num_threads())])
    assert set(seen) == {1}
    assert torch.get_num_threads() == before


def test_a_missing_device_is_a_usage_error(registry, make):
    with pytest.raises(UsageError, match="device 'mps' is not available"):
        _run(registry, make(device="mps"))


def test_an_optimizer_and_a_distribution_that_do_not_fit_are_refused(make):
    with pytest.raises((IncompatiblePluginsError, ValueError), match="provides 'gaussian'"):
        make(optimizer="gaussian_sgd", distribution="point")


def test_a_plugin_that_cannot_be_built_is_named(registry, make):
    registry.add("broken", toy_plugin("proxy", lambda wrong: None))
    with pytest.raises(PluginLoadError, match="proxy plugin 'broken'"):
        _run(registry, make(selector="broken"))


def test_a_batch_larger_than_a_part_is_a_data_error(registry, make):
    with pytest.raises(DataError, match="batch"):
        _run(registry, make(training={"batch_size": 64}))


def test_hook_plugins_see_the_life_cycle_and_one_that_raises_hurts_no_other(registry, make, caplog):
    seen = []

    class Good:
        @hookimpl
        def balenas_epoch_ended(self, event):
            seen.append(event.epoch)

        @hookimpl
        def balenas_run_finished(self, event):
            seen.append(str(event.result.architecture))

    class Bad:
        @hookimpl
        def balenas_epoch_ended(self):
            raise ValueError("my fault")

    registry.hooks.register(Bad(), name="acme:bad")
    registry.hooks.register(Good())
    result = _run(registry, make())
    assert seen == [0, 1, str(result.architecture)]
    assert [(f.name, f.distribution) for f in registry.hooks.failures] == [("bad", "acme")]
    assert "my fault" in caplog.text


def test_an_interrupt_is_told_to_listeners_and_passed_on(registry, make):
    events = []

    def interrupt(event):
        events.append(event)
        if isinstance(event, StepEnded):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _run(registry, make(), [interrupt])
    assert isinstance(events[-1], SearchFailed)
    assert isinstance(events[-1].error, KeyboardInterrupt)
