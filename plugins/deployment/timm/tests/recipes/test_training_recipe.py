"""Presets and schedules against closed forms, and what is wrong with a recipe in words."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from training_toys import HelpedSpace, job, registry

from balenas_core.engine.processes import Processes
from balenas_core.errors import ConfigError, UsageError
from balenas_core.interfaces.space import Task
from balenas_core.plugins.registry import default_registry
from balenas_timm.recipes import TrainingRecipe, training_job
from balenas_timm.training import Training, train
from balenas_timm.training._loop import TrainingLoop

ALONE = Processes(0, 1, torch.device("cpu"))


def settings_of(name):
    return default_registry().find("recipe", name).load_value()


def recipe(name):
    return TrainingRecipe(**settings_of(name)["training"])


def loop(settings, steps_per_epoch=1):
    space = HelpedSpace()
    network = space.network(space.parse("conv-skip"), Task((1, 4, 4), 2))
    return TrainingLoop(
        network,
        settings,
        num_classes=2,
        steps_per_epoch=steps_per_epoch,
        precision="float32",
        seed=0,
        processes=ALONE,
    )


@pytest.mark.parametrize(("name", "lr"), [("darts-cifar", 0.025), ("nb201", 0.1)])
def test_the_learning_rate_of_a_preset_is_half_a_cosine_to_zero(name, lr):
    settings = recipe(name)
    trained = loop(settings)
    for epoch in (0, 1, settings.epochs // 2, settings.epochs - 1):
        trained.begin_epoch(epoch)
        expected = lr * (1 + math.cos(math.pi * epoch / settings.epochs)) / 2
        assert trained.lr == pytest.approx(expected, rel=1e-12)
    trained.begin_epoch(0)
    assert trained.lr == lr


def test_drop_path_rises_linearly_over_the_epochs():
    settings = recipe("darts-cifar")
    trained = loop(settings)
    for epoch, expected in ((0, 0.0), (1, 0.2 / 600), (300, 0.1), (599, 0.2 * 599 / 600)):
        trained.begin_epoch(epoch)
        assert trained.drop_path == pytest.approx(expected, rel=1e-12)


def test_a_schedule_per_step_moves_between_the_epochs():
    settings = TrainingRecipe(epochs=2, lr=1.0, schedule_per="step")
    trained = loop(settings, steps_per_epoch=4)
    for total in range(8):
        trained._scheduler.step_update(total)
        assert trained.lr == pytest.approx((1 + math.cos(math.pi * total / 8)) / 2)


def test_warm_up_rises_linearly():
    trained = loop(TrainingRecipe(epochs=10, lr=1.0, warmup_epochs=4, warmup_lr=0.2))
    found = []
    for epoch in range(5):
        trained.begin_epoch(epoch)
        found.append(trained.lr)
    assert found == pytest.approx([0.2, 0.4, 0.6, 0.8, (1 + math.cos(math.pi * 0.4)) / 2])


@pytest.mark.parametrize(("name", "is_nesterov"), [("darts-cifar", False), ("nb201", True)])
def test_presets_train_with_sgd_whose_every_parameter_decays(name, is_nesterov):
    optimizer = loop(recipe(name))._optimizer
    assert isinstance(optimizer, torch.optim.SGD)
    (group,) = optimizer.param_groups
    assert group["nesterov"] is is_nesterov
    assert (group["momentum"], group["weight_decay"]) == (
        0.9,
        settings_of(name)["training"]["weight_decay"],
    )


def test_the_darts_preset_builds_the_network_of_the_paper():
    found = training_job("DARTS_V2", preset="darts-cifar")
    assert found.space.name == "darts"
    options = found.space.options
    assert (options.channels, options.cells, options.auxiliary) == (36, 20, True)
    settings = found.training
    assert (settings.epochs, settings.batch_size, settings.cutout) == (600, 96, 16)
    assert (settings.drop_path, settings.auxiliary_weight, settings.clip) == (0.2, 0.4, 5.0)
    assert (settings.lr, settings.lr_min, settings.weight_decay) == (0.025, 0.0, 3e-4)


def test_weight_decay_can_leave_biases_out():
    groups = loop(TrainingRecipe(weight_decay_on="weights"))._optimizer.param_groups
    assert sorted(group["weight_decay"] for group in groups) == [0.0, 3e-4]


def test_an_unknown_preset_suggests_a_close_one():
    message = (
        r"no recipe called 'dart-cifar'.*Did you mean 'darts-cifar'\?.*darts-cifar, nb201, qui"
    )
    with pytest.raises(UsageError, match=message):
        training_job("DARTS_V2", preset="dart-cifar")


def test_a_preset_of_another_space_is_refused():
    text = "|skip_connect~0|+|none~0|none~1|+|none~0|none~1|nor_conv_3x3~2|"
    with pytest.raises(UsageError, match="for networks of space 'darts', and this one is of"):
        training_job(text, preset="darts-cifar", flags={"space": "nb201"})


def test_wrong_settings_are_named_by_where_they_were_written(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("training:\n  epochs: 0\n  mixop: 0.1\n")
    with pytest.raises(ConfigError) as raised:
        training_job(
            "conv-conv",
            config=path,
            flags={"space": "toy", "data": "toy", "training.lr": -1.0},
            overrides=["training.optimizer=adamv", "lr=1"],
            registry=registry(),
        )
    lines = str(raised.value).splitlines()
    assert lines[0] == f"{path}:2: training.epochs: must be at least 1 (got 0)"
    assert lines[1] == f"{path}:3: training.mixop: unknown key. Did you mean 'mixup'?"
    assert any(line.startswith("--lr: must be greater than 0") for line in lines)
    assert any("timm has no optimizer 'adamv'. Did you mean 'adam" in line for line in lines)
    assert lines[-1] == "--set lr=1: lr: unknown key. Did you mean 'training.lr'?"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 2, "warmup_epochs": 2}, "warmup_epochs must be less than epochs, 2"),
        ({"lr": 0.1, "lr_min": 0.2}, "lr_min must be at most lr, 0.1"),
    ],
)
def test_settings_that_exclude_each_other_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        TrainingRecipe(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer_options": {"beta": 1}}, "timm cannot make optimizer 'momentum'.*beta"),
        ({"optimizer": "adahessian"}, "optimizer 'adahessian' needs second derivatives"),
        ({"schedule_options": {"decay": 1}}, "timm cannot make schedule 'cosine'.*decay"),
        ({"drop_path": 0.1}, "ToyNetwork has no drop path; set training.drop_path to 0"),
        ({"auxiliary_weight": 0.4}, "ToyNetwork has no auxiliary head"),
        ({"batch_size": 128}, "Set training.batch_size to at most 64"),
        ({"batch_size": 7, "mixup": 0.2}, "even number of images.*set it to 8"),
        ({"cutout": 4}, "less than the shorter side of the images of toy, 4 pixels"),
        ({"auto_augment": "rand-x9"}, "timm cannot read 'rand-x9'"),
        ({"auto_augment": "originale"}, "timm cannot read 'originale'"),
    ],
)
def test_what_cannot_be_done_is_said_before_the_first_step(settings, message, tmp_path):
    found = registry()
    asked = job(training={"epochs": 1, "batch_size": 8, **settings}, output=tmp_path / "out")
    with pytest.raises(UsageError, match=message):
        train(asked, registry=found)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "multiple"),
    [({"batch_size": 1}, 2), ({"batch_size": 8, "accumulate": 8}, 16),
     ({"batch_size": 5, "accumulate": 3}, 6)],
)  # fmt: skip
def test_parts_of_one_image_are_refused_where_it_becomes_one_pixel(settings, multiple, tmp_path):
    asked = job(space="shrinking", training={"epochs": 1, **settings}, output=tmp_path / "out")
    with pytest.raises(UsageError, match=f"one of 1 x 4 x 4 .*to a multiple of {multiple} "):
        train(asked, registry=registry())
    assert not (tmp_path / "out").exists()


def test_parts_of_one_image_are_trained_on_where_pixels_are_left():
    settings = {"epochs": 1, "batch_size": 1}
    assert train(job(space="half_dead", training=settings), registry=registry()).epochs == 1


def test_an_auxiliary_head_that_would_not_be_trained_is_refused():
    with pytest.raises(UsageError, match="auxiliary head that would not be trained"):
        train(job(space="helped"), registry=registry())


def test_float16_needs_a_gpu():
    with pytest.raises(UsageError, match="needs a GPU; use --precision bfloat16"):
        Training(job(precision="float16"), registry=registry()).run()


def test_bfloat16_trains_on_the_cpu_to_about_the_same_loss():
    exact, rough = (
        train(job(precision=precision), registry=registry())
        for precision in ("float32", "bfloat16")
    )
    assert rough.train_loss != exact.train_loss
    assert rough.train_loss == pytest.approx(exact.train_loss, rel=0.02)


def test_an_architecture_of_another_space_is_refused():
    with pytest.raises(UsageError, match="expected two of"):
        train(job(architecture="DARTS_V2"), registry=registry())
