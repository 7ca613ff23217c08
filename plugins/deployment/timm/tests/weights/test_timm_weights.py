"""Weights and blueprints on disk."""

import json
import time

import pytest
import safetensors.torch
import timm
import torch
from found_models import MODELS, NB201, blueprint_of, images, make, save
from PIL import Image
from pydantic import ValidationError

import balenas_timm
from balenas_core.data import ImageFolderOptions
from balenas_core.errors import ArchitectureError, ConfigError, DataError, OutputError, UsageError
from balenas_core.plugins.registry import default_registry
from balenas_core.random import generator
from balenas_timm import Blueprint, load_network, read_blueprint, save_weights
from balenas_timm.models import pretrained_cfg
from balenas_timm.weights import known_of

EVERY = pytest.mark.parametrize("name", MODELS)


@EVERY
def test_a_file_alone_gives_the_network_back(name, tmp_path):
    path, blueprint = tmp_path / "model.safetensors", blueprint_of(name)
    network = save(path, blueprint)
    assert read_blueprint(path) == blueprint
    assert torch.equal(load_network(path)(images()), network(images()))
    model = balenas_timm.load(path)
    assert not model.training
    torch.testing.assert_close(model(images()), network(images()))
    assert model.default_cfg["mean"] == (0.5, 0.4, 0.3)
    assert model.default_cfg["label_names"] == tuple("abcdefghij")


@pytest.mark.parametrize(
    ("genotype", "options"),
    [("NASNET", {}), ("AMOEBANET", {}), ("DARTS_V2", {"operations": ["sep_conv_3x3", "none"]})],
)
def test_a_published_cell_from_outside_the_space_is_read_back(genotype, options, tmp_path):
    section = {"name": "darts", "channels": 4, "cells": 3, **options}
    named = blueprint_of("balenas_darts", space=section, architecture=genotype)
    text = str(named.build_space().parse(genotype))  # as trainings store it
    blueprint = named.model_copy(update={"architecture": text})
    path = tmp_path / "model.safetensors"
    network = save(path, blueprint)
    assert torch.equal(load_network(path)(images()), network(images()))
    torch.testing.assert_close(balenas_timm.load(path)(images()), network(images()))


def test_timm_prepares_files_of_images_as_the_training_tested_them(tmp_path):
    pixels = generator(0)
    for part, name in (("train", "a"), ("test", "a"), ("train", "b"), ("test", "b")):
        (tmp_path / part / name).mkdir(parents=True)
        smooth = torch.nn.functional.interpolate(
            torch.rand(1, 3, 6, 7, generator=pixels), (120, 140), mode="bicubic"
        )[0]
        values = (smooth.clamp(0, 1) * 255).byte().permute(1, 2, 0).contiguous().numpy()
        Image.fromarray(values).save(tmp_path / part / name / "0.png")
    folder = default_registry().find("dataset", "image_folder")
    dataset = folder.build(ImageFolderOptions(root=tmp_path, size=56))
    blueprint = blueprint_of("balenas_nb201", **known_of(dataset))
    config = timm.data.resolve_data_config(pretrained_cfg=pretrained_cfg(blueprint))
    view = timm.data.create_transform(**config)
    ours = dataset.normalize(dataset.test[0])
    with Image.open(tmp_path / "test" / "a" / "0.png") as image:
        theirs = view(image)
    assert config["crop_pct"] == 0.875
    assert (ours - theirs).abs().max() < 0.05  # both round to whole pixel values in between


@EVERY
def test_timm_loads_the_same_file(name, tmp_path):
    path = tmp_path / "model.safetensors"
    expected = save(path, blueprint_of(name))(images())
    created = make(name, seed=1, checkpoint_path=str(path)).eval()
    torch.testing.assert_close(created(images()), expected)
    loaded = make(name, seed=1).eval()
    timm.models.load_checkpoint(loaded, str(path))
    torch.testing.assert_close(loaded(images()), expected)


def test_pretrained_weights_are_adapted_to_other_channels_and_classes(tmp_path):
    path = tmp_path / "model.safetensors"
    network = save(path, blueprint_of("balenas_nb201"))
    overlay = {"file": str(path)}
    model = make("balenas_nb201", pretrained=True, pretrained_cfg_overlay=overlay)
    torch.testing.assert_close(model.eval()(images()), network(images()))
    other = make(
        "balenas_nb201",
        pretrained=True,
        pretrained_cfg_overlay=overlay,
        in_chans=1,
        num_classes=4,
    ).eval()
    assert other(images(channels=1)).shape == (2, 4)
    stem = network.skeleton.stem[0].weight
    torch.testing.assert_close(other.network.skeleton.stem[0].weight, stem.sum(1, keepdim=True))
    torch.testing.assert_close(
        other.network.cells[5].state_dict(), network.cells[5].state_dict(), rtol=0, atol=0
    )


def test_inherited_networks_are_built_in_their_own_form(tmp_path):
    path = tmp_path / "model.safetensors"
    network = save(path, blueprint_of("balenas_nb201", is_inherited=True))
    assert not any("norm.weight" in key for key in network.cells.state_dict())
    torch.testing.assert_close(balenas_timm.load(path)(images()), network(images()))


def test_tensors_in_channels_last_layout_can_be_saved(tmp_path):
    path, blueprint = tmp_path / "model.safetensors", blueprint_of("balenas_nb201")
    network = blueprint.build().to(memory_format=torch.channels_last).eval()
    save_weights(path, network.state_dict(), blueprint)
    torch.testing.assert_close(load_network(path)(images()), network(images()))


def test_damaged_files_and_those_of_others_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    with pytest.raises(DataError, match=r"there is no file .*model\.safetensors"):
        balenas_timm.load(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(DataError, match="is no safetensors file, or is damaged"):
        balenas_timm.load(path)
    safetensors.torch.save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(DataError, match="has weights but does not say of which network"):
        balenas_timm.load(path)
    safetensors.torch.save_file({"a": torch.zeros(1)}, path, {"balenas": "{}"})
    with pytest.raises(DataError, match="no network that can be built here: space: Field required"):
        balenas_timm.load(path)
    said = blueprint_of("balenas_nb201").model_dump_json()
    gone = said.replace('"nb201"', '"gone"')
    safetensors.torch.save_file({"a": torch.zeros(1)}, path, {"balenas": gone})
    with pytest.raises(DataError, match=r"no space called 'gone'\..* [a-z_0-9]+\.$"):
        balenas_timm.load(path)
    safetensors.torch.save_file({"a": torch.zeros(1)}, path, {"balenas": said})
    with pytest.raises(DataError, match=r"weights of another network: .* made with other opt"):
        balenas_timm.load(path)


def crafted(path, **changes):
    """A file that describes another network than that whose weights it has."""
    network = blueprint_of("balenas_nb201").build()
    said = json.loads(blueprint_of("balenas_nb201").model_dump_json())
    said["space"] |= changes.pop("options", {})
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    text = json.dumps(said | changes)
    safetensors.torch.save_file(tensors, path, {"balenas": text})
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"options": {"channels": 10**9}}, r"space: .*channels.* is 1e\+09|channels"),
        ({"options": {"cells_per_stage": 10**9}}, "cells_per_stage"),
        ({"options": {"cells_per_stage": 1000}}, "describes a network of more than .* layers"),
        (
            {"options": {"channels": 2**16}},
            "a network that has no room here: the network needs about",
        ),
        ({"options": {"channels": 2**20}}, "space.channels: must be at most 65536"),
        ({"options": {"cells_per_stage": 1}}, "weights of another network: .* and 8 x 8"),
        ({"options": {"cells_per_stage": 3}}, "weights of another network: .* and 4 x 4"),
        ({"num_classes": 10**12, "class_names": None}, "num_classes: Input should be less than"),
        ({"num_classes": 11, "class_names": None}, "weights of another network: .* 11 x 16"),
        ({"input_shape": [1, 0, 0]}, "input_shape.1: Input should be greater than or equal to 1"),
        ({"input_shape": [3, 10**6, 10**6]}, "input_shape.1: Input should be less than"),
        ({"architecture": "|" * 200_000}, "architecture: String should have at most"),
        ({"crop": 1e-300}, "crop: Input should be greater than"),
        ({"provenance": [1]}, "provenance: "),
    ],
)
@pytest.mark.parametrize("read", [balenas_timm.load, load_network, read_blueprint])
def test_file_that_describes_no_network_of_its_weights_is_refused_before_it_is_built(
    tmp_path, read, changes, message
):
    path = crafted(tmp_path / "model.safetensors", **changes)
    began = time.process_time()
    with pytest.raises(DataError, match=message):
        read(path)
    assert time.process_time() - began < 20  # built for real, it would take minutes, or all memory


def test_a_tensor_more_or_less_is_named(tmp_path):
    path, blueprint = tmp_path / "model.safetensors", blueprint_of("balenas_nb201")
    state = dict(blueprint.build().state_dict())
    first = next(iter(state))
    save_weights(path, {**state, "more": torch.zeros(1)}, blueprint)
    with pytest.raises(DataError, match=r"another network: the network has no more\. Was it made"):
        read_blueprint(path)
    del state[first]
    save_weights(path, state, blueprint)
    with pytest.raises(DataError, match=f"another network: it lacks {first}"):
        read_blueprint(path)


def test_looking_at_the_size_changes_no_random_number(tmp_path):
    path = tmp_path / "model.safetensors"
    save(path, blueprint_of("balenas_nb201"))
    before = torch.random.get_rng_state()
    read_blueprint(path)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not torch.nn.Linear(1, 1).weight.is_meta


def test_options_with_too_many_parts_are_refused():
    with pytest.raises(ValidationError, match="at most 32 items"):
        blueprint_of(
            "balenas_timm_stages",
            space={"name": "timm_stages", "widths": [8] * 20_000, "strides": [1] * 20_000},
        )


def test_what_a_user_asks_for_is_refused_in_one_line():
    known = blueprint_of("balenas_nb201").model_dump() | {"num_classes": 10**12}
    with pytest.raises(
        UsageError, match=r"^no network is made so: num_classes: Input should be le"
    ):
        Blueprint.of(**known)


def test_what_a_later_version_says_is_read_over(tmp_path):
    said = json.loads(blueprint_of("balenas_nb201").model_dump_json()) | {"later": 1}
    assert Blueprint.model_validate(said) == blueprint_of("balenas_nb201")


def test_a_directory_that_is_gone_is_an_output_error(tmp_path):
    blueprint = blueprint_of("balenas_nb201")
    with pytest.raises(OutputError, match=r"cannot write .*model\.safetensors"):
        save(tmp_path / "gone" / "model.safetensors", blueprint)


def test_blueprints_of_no_network_are_refused():
    with pytest.raises(ArchitectureError, match="got the end; a NAS-Bench-201 cell"):
        blueprint_of("balenas_nb201", architecture="|none~0|").build()
    with pytest.raises(ValueError, match=r"normalization\.mean must have one number per channel"):
        blueprint_of("balenas_nb201", input_shape=(1, 8, 8))
    with pytest.raises(ValueError, match="class_names must be 5, one for each class; got 10"):
        blueprint_of("balenas_nb201", num_classes=5)
    with pytest.raises((ConfigError, ValueError), match="no space called 'nb202'"):
        Blueprint(space="nb202", architecture=NB201, input_shape=(3, 8, 8), num_classes=2)
