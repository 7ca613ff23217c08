"""Found networks against what timm asks of its own models."""

import copy
import pickle

import pytest
import timm
import torch
from found_models import MODELS, NB201, images, make
from timm.models._features import FeatureInfo
from timm.models._manipulate import group_parameters
from timm.optim import create_optimizer_v2
from torch import nn

from balenas_core.errors import ConfigError, UsageError
from balenas_core.interfaces.space import Task
from balenas_core.plugins.plugin import Plugin
from balenas_core.plugins.registry import default_registry
from balenas_core.random import generator, seeded
from balenas_core.testing import ToySpace
from balenas_timm import FoundClassifier, FoundNetwork, model_name, register_spaces

EVERY = pytest.mark.parametrize("name", MODELS)


def test_every_installed_space_is_a_model_of_timm():
    spaces = {model_name(ref.name) for ref in default_registry().refs("space")}
    assert spaces >= set(MODELS)
    assert spaces <= set(timm.list_models("balenas_*"))


@EVERY
def test_logits_are_those_of_the_spaces_own_network(name):
    model = make(name).eval()
    torch.testing.assert_close(model(images()), model.network(images()))


def test_a_published_network_has_its_published_number_of_parameters():
    model = timm.create_model("balenas_darts", genotype="DARTS_V2")
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 2) == 3.35  # the paper: 3.3


def test_the_default_size_is_that_in_which_the_benchmark_trains():
    model = timm.create_model("balenas_nb201", genotype=NB201)
    assert len(model.network.cells) == 15
    assert model.num_features == 64


def test_a_genotype_may_be_an_architecture():
    ref = default_registry().find("space", "nb201")
    architecture = ref.build(ref.load().options()).parse(NB201)
    by_value, by_text = make("balenas_nb201", genotype=architecture), make("balenas_nb201")
    assert by_value.state_dict().keys() == by_text.state_dict().keys()
    torch.testing.assert_close(by_value.eval()(images()), by_text.eval()(images()))


@EVERY
@pytest.mark.parametrize("in_chans", [1, 3])
def test_every_parameter_gets_a_gradient(name, in_chans):
    model = make(name, num_classes=42, in_chans=in_chans, global_pool="catavgmax").train()
    logits = model(images(channels=in_chans))
    assert logits.shape == (2, 42)
    logits.square().mean().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


@EVERY
def test_the_configuration_names_layers_that_exist(name):
    model = make(name)
    cfg, state = model.default_cfg, model.state_dict()
    assert f"{cfg['classifier']}.weight" in state
    assert state[f"{cfg['first_conv']}.weight"].shape[1] == model.in_chans == cfg["input_size"][0]
    features = model.forward_features(images())
    assert tuple(features.shape[2:]) == cfg["pool_size"]
    assert features.shape[1] == model.num_features
    pooled = model.forward_head(features, pre_logits=True)
    assert pooled.shape == (2, model.head_hidden_size)
    assert len(cfg["mean"]) == len(cfg["std"]) == 3


@EVERY
def test_the_classifier_can_be_reset(name):
    model = make(name, num_classes=7).eval()
    assert model.get_classifier().out_features == 7
    features = model.forward_features(images())
    model.reset_classifier(0)
    torch.testing.assert_close(model(images()), features.mean((2, 3)))
    model.reset_classifier(0, "")
    torch.testing.assert_close(model(images()), features)
    model.reset_classifier(5, "max")
    assert model(images()).shape == (2, 5)
    torch.testing.assert_close(model.forward_head(features, pre_logits=True), features.amax((2, 3)))
    model.reset_classifier(3)
    torch.testing.assert_close(model.forward_head(features, pre_logits=True), features.amax((2, 3)))
    model.reset_classifier(3, "catavgmax")
    assert model.head_hidden_size == 2 * model.num_features
    assert model(images()).shape == (2, 3)


@EVERY
def test_resetting_keeps_device_type_mode_and_frozen_weights(name):
    model = make(name).eval().to(device="meta", dtype=torch.float64).requires_grad_(False)
    model.reset_classifier(2)
    assert model.get_classifier().weight.dtype == torch.float64
    assert model.get_classifier().weight.device.type == "meta"
    assert not any(module.training for module in model.modules())
    trainable = [n for n, p in model.named_parameters() if p.requires_grad]
    assert trainable == [f"{model.classifier_name}.weight", f"{model.classifier_name}.bias"]


@EVERY
@pytest.mark.parametrize("pool", ["avg", ""])
def test_a_model_without_classifier_is_that_whose_classifier_was_removed(name, pool):
    removed = make(name).eval()
    removed.reset_classifier(0, pool)
    model = make(name, num_classes=0, global_pool=pool).eval()
    assert isinstance(model.get_classifier(), nn.Identity)
    model.load_state_dict(removed.state_dict())
    torch.testing.assert_close(model(images()), removed(images()))


@EVERY
def test_features_have_the_channels_and_sizes_that_are_announced(name):
    model = make(name, features_only=True).eval()
    channels, reductions = model.feature_info.channels(), model.feature_info.reduction()
    assert len(channels) >= 3
    assert reductions == sorted(reductions)
    for side in (32, 48):
        features = model(images(side=side))
        assert [x.shape[1] for x in features] == channels
        assert [side // x.shape[2] for x in features] == reductions
    modules = dict(model.model.named_modules())
    assert all(module in modules for module in model.feature_info.module_name())


@EVERY
def test_chosen_features_are_those_of_the_whole_network(name):
    whole = make(name, features_only=True).eval()(images())
    for indices in [(0,), (1, 2), (-2, -1)]:
        model = make(name, features_only=True, out_indices=indices).eval()
        wanted = [whole[index] for index in indices]
        torch.testing.assert_close(model(images()), wanted)
    assert sum(p.numel() for p in make(name, features_only=True, out_indices=(0,)).parameters()) < (
        sum(p.numel() for p in make(name, features_only=True).parameters())
    )


def test_an_imagenet_stem_gives_features_at_reduction_4_to_32():
    model = make("balenas_darts", stem="imagenet", features_only=True)
    assert model.feature_info.reduction() == [4, 8, 16, 32]


@EVERY
def test_hooks_give_the_same_features(name):
    expected = make(name, features_only=True).eval()(images())
    model = make(name, features_only=True, feature_cls="hook").eval()
    torch.testing.assert_close(model(images()), expected)


@EVERY
def test_intermediates_come_with_the_last_features(name):
    model = make(name).eval()
    info = FeatureInfo(model.feature_info, len(model.feature_info))
    last, intermediates = model.forward_intermediates(images())
    assert [x.shape[1] for x in intermediates] == info.channels()
    torch.testing.assert_close(last, model.forward_features(images()))
    stopped, (first,) = model.forward_intermediates(images(), indices=[0], stop_early=True)
    torch.testing.assert_close(first, intermediates[0])
    torch.testing.assert_close(stopped, first)
    end, _ = model.forward_intermediates(images(), indices=1, stop_early=True)
    torch.testing.assert_close(end, last)
    with pytest.raises(UsageError, match="output_fmt must be 'NCHW'; got 'NLC'"):
        model.forward_intermediates(images(), output_fmt="NLC")


@EVERY
def test_pruned_models_have_no_unused_parameter_and_the_same_features(name):
    model = make(name).eval()
    taps = model.forward_intermediates(images(), intermediates_only=True)
    for index, tap in enumerate(taps):
        pruned = copy.deepcopy(model)
        assert pruned.prune_intermediate_layers([index], prune_norm=True) == [index]
        torch.testing.assert_close(pruned.forward_features(images()), tap)
        pruned.reset_classifier(4, "avg")
        assert pruned(images()).shape == (2, 4)
        assert pruned.head_hidden_size == tap.shape[1]
        pruned.train()(images()).sum().backward()
        assert [n for n, p in pruned.named_parameters() if p.grad is None] == []


@EVERY
def test_pruning_nothing_keeps_the_logits(name):
    model = make(name).eval()
    expected = model(images())
    model.prune_intermediate_layers([len(model.feature_info) - 1], prune_head=False)
    assert torch.equal(model(images()), expected)


@EVERY
def test_checkpointing_gives_the_same_gradients(name):
    model = make(name).train()

    def gradients():
        model.zero_grad()
        model(images()).square().sum().backward()
        return {name: p.grad.clone() for name, p in model.named_parameters()}

    plain = gradients()
    model.set_grad_checkpointing()
    torch.testing.assert_close(gradients(), plain, rtol=1e-3, atol=1e-4)


@EVERY
@pytest.mark.parametrize("coarse", [False, True])
def test_parameters_are_grouped_from_stem_to_classifier(name, coarse):
    model = make(name)
    layer = group_parameters(model, model.group_matcher(coarse=coarse), reverse=True)
    first_conv = f"{model.default_cfg['first_conv']}.weight"
    classifier = f"{model.classifier_name}.weight"
    assert layer[first_conv] == 0
    assert layer[classifier] == max(layer.values())
    stages = model.network.stages
    assert len(set(layer.values())) == 1 + (len(stages) if coarse else sum(map(len, stages)))


@EVERY
def test_layer_decay_scales_the_stem_most(name):
    model = make(name)
    optimizer = create_optimizer_v2(model, opt="sgd", lr=0.1, layer_decay=0.5)
    scale = {id(p): g["lr_scale"] for g in optimizer.param_groups for p in g["params"]}
    blocks = len(model.network.block_names)
    assert scale[id(model.get_classifier().weight)] == 1.0
    stem = model.get_submodule(model.default_cfg["first_conv"]).weight
    assert scale[id(stem)] == pytest.approx(0.5**blocks)


def test_the_drop_rate_is_that_of_the_classifier():
    model = make("balenas_nb201", drop_rate=0.999).train()
    with seeded(0):
        expected = model.get_classifier().bias.expand(2, -1)
        torch.testing.assert_close(model(images()), expected)
    assert make("balenas_timm_stages", dropout=0.25).drop_rate == 0.25


def test_the_drop_path_rate_reaches_networks_that_have_it():
    assert make("balenas_darts", drop_path_rate=0.2).network.drop_path_prob == 0.2
    with pytest.raises(UsageError, match=r"=0\.2: networks of balenas_nb201 have no"):
        make("balenas_nb201", drop_path_rate=0.2)


@EVERY
def test_copies_and_pickles_compute_the_same(name):
    model = make(name).eval()
    expected = model(images())
    assert torch.equal(copy.deepcopy(model)(images()), expected)
    assert torch.equal(pickle.loads(pickle.dumps(model))(images()), expected)


@EVERY
def test_channels_last_and_bfloat16_are_close_to_float32(name):
    model = make(name).eval()
    x, expected = images(), model(images())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(model(x).float(), expected, rtol=0.1, atol=0.05)
    model = model.to(memory_format=torch.channels_last)
    last = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(model(last), expected)
    assert model.to(torch.bfloat16)(x.bfloat16()).dtype == torch.bfloat16


@EVERY
@pytest.mark.parametrize("way", ["keyword", "context"])
def test_models_are_made_on_the_wanted_device(name, way):
    if way == "keyword":
        model = make(name, device="meta", dtype=torch.float64)
    else:
        with torch.device("meta"):
            model = make(name, dtype=torch.float64)
    tensors = [*model.parameters(), *model.buffers()]
    assert {t.device.type for t in tensors} == {"meta"}
    assert {p.dtype for p in model.parameters()} == {torch.float64}


@EVERY
def test_programs_of_torch_export_take_any_batch(name):
    model = make(name).eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(model, (images(2),), dynamic_shapes=({0: batch},))
    for size in (1, 5):
        x = images(size)
        torch.testing.assert_close(program.module()(x), model(x))


def test_compiled_models_compute_the_same():
    for name in MODELS:
        torch.compiler.reset()
        model = make(name).eval()
        compiled = torch.compile(model, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(images()), model(images()))


def test_the_weights_of_a_supernet_fit_the_inherited_form():
    ref = default_registry().find("space", "nb201")
    space = ref.build(ref.load().options(channels=4, cells_per_stage=2))
    with seeded(0):
        supernet = space.supernet(Task((3, 32, 32), 10))
    network = space.inherit(supernet, space.parse(NB201)).eval()
    model = make("balenas_nb201", inherited=True).eval()
    model.load_state_dict(network.state_dict())
    torch.testing.assert_close(model(images()), network(images()))


@pytest.mark.parametrize(
    ("keywords", "kind", "message"),
    [
        ({"chanels": 4}, TypeError, r"balenas_darts has no keyword 'chanels'. Did you mean 'chan"),
        ({"channels": 0}, ConfigError, r"space.channels: must be at least 1 \(got 0\)"),
        ({"genotype": "DART_V2"}, UsageError, "no published architecture 'DART_V2'"),
        ({"genotype": None}, UsageError, "which network\\? Give balenas_darts an architecture"),
    ],
)
def test_keywords_that_fit_no_network_are_refused(keywords, kind, message):
    with pytest.raises(kind, match=message):
        make("balenas_darts", **keywords)


@pytest.fixture
def toy_model():
    default_registry.cache_clear()
    plugin = Plugin(kind="space", summary="toy", api_version=1, implementation=ToySpace)
    default_registry().add("toy_of_this_test", plugin)
    added = register_spaces()
    yield "balenas_toy_of_this_test"
    default_registry.cache_clear()
    assert added in (["balenas_toy_of_this_test"], [])


def test_a_space_made_at_run_time_is_a_model_too(toy_model):
    with seeded(0):
        model = timm.create_model(toy_model, genotype="conv-skip", num_classes=4)
    assert isinstance(model, FoundClassifier)
    torch.testing.assert_close(model(images()), model.network(images()))
    assert register_spaces() == []


def test_networks_without_stages_say_that_they_have_no_features(toy_model):
    model = timm.create_model(toy_model, genotype="conv-skip")
    message = "ToyNetwork is a classifier only: its features cannot be taken out"
    with pytest.raises(UsageError, match=message):
        timm.create_model(toy_model, genotype="conv-skip", features_only=True)
    with pytest.raises(UsageError, match=message):
        timm.create_model(toy_model, genotype="conv-skip", num_classes=0)
    for method in (model.forward_features, model.reset_classifier, model.get_classifier):
        with pytest.raises(UsageError, match=message):
            method()


def test_the_wrapper_takes_any_network_in_stages():
    ref = default_registry().find("space", "timm_stages")
    space = ref.build(ref.load().options())
    network = space.network(space.random(generator(0)), Task((3, 32, 32), 6))
    model = FoundNetwork(network, in_chans=3, num_classes=6, image_size=(32, 32))
    assert model(images()).shape == (2, 6)
